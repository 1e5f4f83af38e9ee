"""What the servers of the benches are given: configurations, the stub's answers, a registry, a certificate.

Python's standard library and the openssl command only.
"""

import json

from tokens import openssl

REVISION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "sidegate-bench", "version": "1"},
}
TENANT = "7b0c0a52-5d1e-4b9a-9d3c-0f8a3c1d2e10"


def message(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}})


def tool(name, arguments):
    return message("tools/call", name=name, arguments=arguments)


def headers(method, name=None, bearer=None):
    """What a request of the Streamable HTTP transport carries."""
    fields = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": REVISION,
        "Mcp-Method": method,
    }
    return fields | ({"Mcp-Name": name} if name else {}) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})


def tickets_body():
    """About 0.8 kB in the PSA's list shape. It becomes a quoted string in nginx's configuration: no ' and no $."""
    statuses = ["Open", "In Progress", "Waiting for Client", "Open"]
    titles = ["Printer on floor 2 jams", "VPN drops every hour", "New laptop for reception", "Mailbox over quota"]
    data = [
        {
            "ticket_id": f"00000000-0000-4000-8000-{number:012d}",
            "ticket_number": f"TIC{1000 + number}",
            "title": title,
            "status_name": statuses[number],
            "client_name": "Emerald City Tours",
            "entered_at": "2026-11-20T09:00:00.000Z",
        }
        for number, title in enumerate(titles)
    ]
    body = {"data": data, "pagination": {"page": 1, "limit": 4, "total": 4, "totalPages": 1}}
    return json.dumps(body, separators=(",", ":"))


def registry(count, more=()):
    """A registry of `count` entries: two that are called here, `more`, and others of the same kind to fill it."""
    entries = [entry("get", "/api/v1/tickets", "List tickets"), entry("post", "/api/v1/tickets", "Create ticket"), *more]
    for number in range(count - len(entries)):
        thing = THINGS[number // 4 % len(THINGS)]
        method, does, tail = WAYS[number % 4]
        path = f"/api/v1/{thing}-{number // (4 * len(THINGS))}{tail}"
        entries.append(entry(method, path, f"{does} {thing.replace('-', ' ')}"))
    return {"data": {"edition": "ce", "count": count, "entries": entries}, "meta": {"message": "registry"}}


THINGS = ("assets", "boards", "clients", "contacts", "contracts", "documents", "invoices", "locations", "notes", "projects",
          "quotes", "schedules", "tags", "tasks", "teams", "time-entries")
WAYS = (("get", "List", ""), ("post", "Create", ""), ("get", "Get", "/{id}"), ("put", "Update", "/{id}"))


def entry(method, path, name):
    made = {
        "id": f"{method}-{path.translate(str.maketrans('/{}', '___'))}",
        "method": method,
        "path": path,
        "displayName": name,
        "summary": name,
        "description": f"{name} of the tenant, newest first, with custom fields and links.",
        "tags": [name.split(" ", 1)[1].capitalize()],
        "approvalRequired": False,
    }
    if path.endswith("}"):
        made["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    elif method == "get":
        made["parameters"] = [
            {"name": "page", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1}},
            {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        ]
    if method in ("post", "put"):
        fields = {name: {"type": "string"} for name in ("title", "description", "status_id", "assigned_to")}
        made["requestBodySchema"] = {"type": "object", "properties": fields}
    return made


def certificate(directory):
    """A throw-away certificate for localhost, which is its own authority, and its key."""
    certificate, key = directory / "tls.crt", directory / "tls.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate))
    key.chmod(0o600)
    return certificate, key


NGINX = """
daemon off; master_process on; worker_processes 1; pid {dir}/{name}.pid; error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 120s; tcp_nodelay on; server_tokens off;
    client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy; fastcgi_temp_path {dir}/{name}-fcgi;
    uwsgi_temp_path {dir}/{name}-uwsgi; scgi_temp_path {dir}/{name}-scgi;
{body}
}}
"""

STUB = """
    server {{
        listen 127.0.0.1:{port}; default_type application/json; root {dir}/stub;
        location = /api/v1/tickets {{ return 200 '{tickets}'; }}
        location = /api/v1/meta/mcp-registry {{ try_files /registry.json =404; }}
        location = /.well-known/openid-configuration {{ try_files /discovery.json =404; }}
        location = /.well-known/oauth-authorization-server {{ try_files /discovery.json =404; }}
        location = /jwks {{ try_files /jwks.json =404; }}
        location = /__status {{ stub_status; }}
        {locations}
    }}
"""

PROXY = """
    upstream stub {{ server 127.0.0.1:{stub}; keepalive 256; }}
    ssl_certificate {certificate}; ssl_certificate_key {key};
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls} ssl http2;
        location = /__alive {{ return 200; }}
        location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""

SIDEGATE = """
[server]
listen = ["127.0.0.1:{port}"]
allow_plaintext = true
public_url = "{url}"
max_connections = 20000
idle_timeout = "1h"
{tls}
[ops]
listen = "127.0.0.1:{ops}"

[admin]
listen = []

[store]
url = "{store}"

[psa]
kind = "alga"
url = "http://127.0.0.1:{stub}"
tenant = "{tenant}"
keys = "static"
catalog_key_file = "{dir}/catalog.key"

[psa.static_keys]
bench = "{dir}/bench.key"

[idp]
allow_private_networks = ["127.0.0.0/8"]

[limits]
calls_per_minute = 0
calls_in_flight = 0
streams = 0

{more}
[log]
filter = "warn"

[[issuers]]
issuer = "{issuer}"
jwks_uri = "{issuer}/jwks"

[[agents]]
name = "bench"
issuer = "{issuer}"
subject = "bench"
max_effect = "read"

{agents}
"""
