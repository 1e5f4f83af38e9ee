"""The official Python SDK against Sidegate: with a bearer token that is handed in, or with client credentials only.

Configuration (JSON, first argument or stdin): {mcp_url, token | client_id + client_secret, mode?: "auto" (default) |
"legacy" | "modern", issuer?, ca_file?, query?, read?, write?}. Without ca_file the system's roots and SSL_CERT_FILE
decide. Prints one JSON line; exit code 0, or 1 with `error` in it, or 2 for a bad configuration.
"""

import asyncio
import json
import ssl
import sys
from urllib.parse import parse_qs

import httpx2
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

READ = {"entryId": "get-_api_v1_tickets", "query": {"limit": 2}}
WRITE = {"entryId": "post-_api_v1_tickets", "body": {"title": "A ticket from a test client"}}


class Memory:
    """Where the SDK keeps its tokens for as long as this program lives."""

    def __init__(self):
        self.tokens = None
        self.information = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.information

    async def set_client_info(self, information):
        self.information = information


def describe_request(request):
    """One step of the trace, without secrets: of a form only grant_type and resource, of a message its method."""
    step = {"method": request.method, "url": str(request.url)}
    step["bearer"] = request.headers.get("authorization", "").lower().startswith("bearer ")
    body = request.content.decode("utf-8", "replace") if request.method == "POST" else ""
    if body.startswith("{"):
        step["rpc"] = json.loads(body).get("method")
    elif body:
        form = parse_qs(body)
        step.update({field: form[field][0] for field in ("grant_type", "resource", "scope") if field in form})
    return step


def traced(config, trace, auth):
    async def on_response(response):
        step = describe_request(response.request) | {"status": response.status_code}
        if challenge := response.headers.get("www-authenticate"):
            step["challenge"] = challenge
        trace.append(step)

    options = {"auth": auth, "timeout": 30, "event_hooks": {"response": [on_response]}}
    if config.get("ca_file"):
        options["verify"] = ssl.create_default_context(cafile=config["ca_file"])
    if config.get("token"):
        options["headers"] = {"Authorization": f"Bearer {config['token']}"}
    return httpx2.AsyncClient(**options)


def text_of(result):
    return "\n".join(part.text for part in result.content if part.type == "text")


def first_entry(result):
    try:
        found = result.structured_content or json.loads(text_of(result))
        return found["results"][0]["entryId"]
    except (ValueError, LookupError, TypeError):
        return None


async def converse(client, config):
    listed = await client.list_tools()
    searched = await client.call_tool("search_api_registry", {"query": config.get("query", "list tickets")})
    answered = await client.call_tool("call_api_endpoint", config.get("read", READ))
    result = {
        "revision": client.protocol_version,
        "tools": [tool.name for tool in listed.tools],
        "searchFirst": first_entry(searched),
        "searchText": text_of(searched)[:600],
        "readOk": not answered.is_error,
        "readText": text_of(answered)[:600],
        "readStructured": answered.structured_content is not None,
    }
    write = config.get("write", WRITE)
    if write is not None:
        wrote = await client.call_tool("call_api_endpoint", write)
        result |= {"writeIsError": bool(wrote.is_error), "writeText": text_of(wrote)[:600]}
    return result


def provider(config):
    if config.get("token"):
        return None
    return ClientCredentialsOAuthProvider(
        server_url=config["mcp_url"],
        storage=Memory(),
        client_id=config["client_id"],
        client_secret=config["client_secret"],
        issuer=config.get("issuer"),
    )


async def run(config, trace):
    mode = config.get("mode", "auto")
    if mode == "modern":
        mode = MODERN_PROTOCOL_VERSIONS[-1]
    async with traced(config, trace, provider(config)) as http:
        transport = streamable_http_client(config["mcp_url"], http_client=http)
        info = Implementation(name="sidegate-test-python", version="1.0.0")
        async with Client(transport, mode=mode, client_info=info) as client:
            return await converse(client, config)


def describe(error):
    """The innermost errors of a task group: the groups around them say nothing."""
    if isinstance(error, BaseExceptionGroup):
        return [said for inner in error.exceptions for said in describe(inner)]
    return [{"name": type(error).__name__, "message": str(error)}]


def main():
    argument = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] != "-" else sys.stdin.read()
    try:
        config = json.loads(argument)
        config["mcp_url"], config.get("token") or (config["client_id"], config["client_secret"])
    except (ValueError, KeyError) as error:
        print(f"the configuration is not JSON or lacks a key: {error!r}", file=sys.stderr)
        return 2
    trace = []
    line = {"client": f"python-{config.get('mode', 'auto')}", "trace": trace}
    if not config.get("token"):
        line["client"] += "-client-credentials"
    code = 0
    try:
        line |= asyncio.run(run(config, trace))
        line["resource"] = next((step.get("resource") for step in trace if "grant_type" in step), None)
    except BaseException as error:  # one line whatever happens, also when the SDK raises a group
        line["error"] = describe(error)[0]
        code = 1
    print(json.dumps(line))
    return code


if __name__ == "__main__":
    sys.exit(main())
