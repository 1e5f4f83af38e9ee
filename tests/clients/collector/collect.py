"""Takes logs by OTLP/HTTP, in protobuf, as a collector does, and writes each as a line of JSON to a file.

    collect.py PORT FILE        PORT 0 is any; the first line of output is the port

The answer comes after the lines are in the file. Decoding is the official Python package's.
"""

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

port, path = int(sys.argv[1]), sys.argv[2]
writing = threading.Lock()


def told(attributes):
    return {attribute.key: attribute.value.string_value for attribute in attributes}


def lines(request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for log in scope.log_records:
                yield {
                    "resource": told(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "time": log.time_unix_nano,
                    "severity": log.severity_number,
                    "severity_text": log.severity_text,
                    "event": log.event_name,
                    "trace_id": log.trace_id.hex(),
                    "attributes": told(log.attributes),
                    "body": log.body.string_value,
                }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path != "/v1/logs" or self.headers["content-type"] != "application/x-protobuf":
            self.answer(400, b"")
            return
        text = "".join(json.dumps(line) + "\n" for line in lines(ExportLogsServiceRequest.FromString(body)))
        with writing, open(path, "a", encoding="utf-8") as file:
            file.write(text)
        self.answer(200, ExportLogsServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
