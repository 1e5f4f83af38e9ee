"""What stands beside the helpdesk: under /stream/ large bodies both ways and an event stream, each as a stream, and what
Sidegate reads of a PSA when it starts.

What went through so far is told under /stream/seen, so that a client can hold one end still and look at the other. The
digest of a download is told beforehand (RFC 9530). It knows nothing of Django.
"""

import base64
import hashlib
import json
import os
import queue
from urllib.parse import parse_qs

BLOCK = 64 * 1024
NOISE = os.urandom(BLOCK)

seen = {"received": 0, "sent": 0}
said = queue.Queue()


REGISTRY = {
    "edition": "ce",
    "count": 1,
    "entries": [{
        "id": "get-_api_v1_queues", "method": "get", "path": "/api/v1/queues", "displayName": "List queues",
        "summary": "List queues", "tags": ["Queues"], "approvalRequired": False, "parameters": [],
    }],
}


def beside(helpdesk):
    """A WSGI application: the views below, and the helpdesk for everything else."""

    def application(environ, start_response):
        view = VIEWS.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]), helpdesk)
        return view(environ, start_response)

    return application


def answer(start_response, value):
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def blocks(size):
    """The same bytes each time, and no two blocks alike: a block that is lost or swapped changes the digest."""
    for number in range(size // BLOCK):
        yield number.to_bytes(8, "big") + NOISE[8:]


def down(environ, start_response):
    size = int(parse_qs(environ["QUERY_STRING"])["bytes"][0]) // BLOCK * BLOCK
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    start_response("200 OK", [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(size)),
        ("Content-Digest", f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"),
    ])
    return counted(blocks(size))


def counted(parts):
    seen["sent"] = 0
    for part in parts:
        yield part
        seen["sent"] += len(part)


def up(environ, start_response):
    """With `?hold=1` it reads no more than a block until something is posted to /stream/say."""
    digest = hashlib.sha256()
    seen["received"] = 0
    while part := environ["wsgi.input"].read(BLOCK):
        digest.update(part)
        seen["received"] += len(part)
        if environ["QUERY_STRING"] == "hold=1" and seen["received"] == BLOCK:
            said.get(timeout=60)
    return answer(start_response, {"bytes": seen["received"], "sha256": digest.hexdigest()})


def look(_environ, start_response):
    return answer(start_response, seen)


def say(environ, start_response):
    said.put(environ["wsgi.input"].read().decode())
    return answer(start_response, {})


def events(_environ, start_response):
    """Repeats what is posted to /stream/say, until that is `end`."""
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
    yield b"data: ready\n\n"
    while (word := said.get(timeout=60)) != "end":
        yield f"data: {word}\n\n".encode()


def registry(_environ, start_response):
    return answer(start_response, {"data": REGISTRY})


VIEWS = {
    ("GET", "/api/v1/meta/mcp-registry"): registry,
    ("GET", "/stream/down"): down,
    ("POST", "/stream/up"): up,
    ("GET", "/stream/seen"): look,
    ("POST", "/stream/say"): say,
    ("GET", "/stream/events"): events,
}
