"""What both generations of the Python SDK share here: the configuration, the trace, the conversation with Sidegate and the
one-line result. It knows no SDK; the programs hand in a connected client.

The conversation: list, search, one read, one write (`write: null` leaves it out) and, where `cancel` says so, a slow call
that is called off: {watch: where the PSA lists its requests, call: the arguments}.
"""

import asyncio
import json
import ssl
import sys
import urllib.request
from urllib.parse import parse_qs

READ = {"entryId": "get-_api_v1_tickets", "query": {"limit": 2}}
WRITE = {"entryId": "post-_api_v1_tickets", "body": {"title": "A ticket from a test client"}}


def http_options(config, trace):
    """What an httpx client is made with: the CA, the token that was handed in, and the trace."""

    async def on_response(response):
        step = describe_request(response.request) | {"status": response.status_code}
        if challenge := response.headers.get("www-authenticate"):
            step["challenge"] = challenge
        trace.append(step)

    options = {"timeout": 30, "event_hooks": {"response": [on_response]}}
    if config.get("ca_file"):
        options["verify"] = ssl.create_default_context(cafile=config["ca_file"])
    if config.get("token"):
        options["headers"] = {"Authorization": f"Bearer {config['token']}"}
    return options


def describe_request(request):
    """One step of the trace, without secrets: of a form only grant_type and resource, of a message its method."""
    step = {"method": request.method, "url": str(request.url)}
    step["bearer"] = request.headers.get("authorization", "").lower().startswith("bearer ")
    if message := message_of(request):
        step["rpc"] = message.get("method")
    elif request.method == "POST":
        form = parse_qs(request.content.decode("utf-8", "replace"))
        step.update({field: form[field][0] for field in ("grant_type", "resource", "scope") if field in form})
    return step


def message_of(request):
    """The JSON-RPC message that a request carries, or none."""
    body = request.content if request.method == "POST" else b""
    return json.loads(body) if body.startswith(b"{") else {}


def text_of(result):
    return "\n".join(part["text"] for part in result["content"] if part["type"] == "text")


def first_entry(result):
    try:
        found = result.get("structuredContent") or json.loads(text_of(result))
        return found["results"][0]["entryId"]
    except (ValueError, LookupError, TypeError):
        return None


async def converse(client, config):
    async def call(tool, arguments):
        # Each generation has attribute names of its own; on the wire they are the same.
        return (await client.call_tool(tool, arguments)).model_dump(mode="json", by_alias=True)

    listed = await client.list_tools()
    searched = await call("search_api_registry", {"query": config.get("query", "list tickets")})
    answered = await call("call_api_endpoint", config.get("read", READ))
    result = {
        "tools": [tool.name for tool in listed.tools],
        "searchFirst": first_entry(searched),
        "searchText": text_of(searched)[:600],
        "readOk": answered.get("isError") is not True,
        "readText": text_of(answered)[:600],
        "readStructured": answered.get("structuredContent") is not None,
    }
    write = config.get("write", WRITE)
    if write is not None:
        wrote = await call("call_api_endpoint", write)
        result |= {"writeIsError": wrote.get("isError") is True, "writeText": text_of(wrote)[:600]}
    return result


async def slow_report(watch, wanted):
    """Whether the slow report is among what the PSA says it was asked for, as `wanted`, at the latest after ten seconds."""

    def ask():
        with urllib.request.urlopen(watch, timeout=10) as answer:
            return json.load(answer)

    for _ in range(200):
        requests = await asyncio.to_thread(ask)
        if any(request["path"].startswith("/api/v1/reports/slow") and wanted(request) for request in requests):
            return True
        await asyncio.sleep(0.05)
    return False


async def begun(watch):
    return await slow_report(watch, lambda _: True)


async def aborted(watch):
    return await slow_report(watch, lambda request: request.get("aborted") is True)


def describe(error):
    """The innermost errors of a task group: the groups around them say nothing."""
    if isinstance(error, BaseExceptionGroup):
        return [said for inner in error.exceptions for said in describe(inner)]
    return [{"name": type(error).__name__, "message": str(error)}]


def remote(config):
    """What a client needs to know of a server that it calls over HTTP."""
    return config["mcp_url"], config.get("token") or (config["client_id"], config["client_secret"])


def read_config(needed):
    argument = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] != "-" else sys.stdin.read()
    try:
        config = json.loads(argument)
        needed(config)
    except (ValueError, KeyError) as error:
        print(f"the configuration is not JSON or lacks a key: {error!r}", file=sys.stderr)
        sys.exit(2)
    return config


def main(label, run, needed=remote):
    """Runs `run(config, trace)`: prints one JSON line and exits 0, or one JSON line with `error` and exits 1."""
    config = read_config(needed)
    trace = []
    line = {"client": label(config), "trace": trace}
    code = 0
    try:
        line |= asyncio.run(run(config, trace))
        line["resource"] = next((step.get("resource") for step in trace if "grant_type" in step), None)
    except BaseException as error:  # one line whatever happens, also when the SDK raises a group
        line["error"] = describe(error)[0]
        code = 1
    print(json.dumps(line))
    sys.exit(code)
