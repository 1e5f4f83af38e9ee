"""The second generation of the official Python SDK: with a bearer token that is handed in, or with client credentials only.

Configuration (JSON, first argument or stdin): {mcp_url, token | client_id + client_secret, mode?: "auto" (default) |
"legacy" | "modern", issuer?, ca_file?, query?, read?, write?, cancel?}. Without ca_file the system's roots and SSL_CERT_FILE
decide. Prints one JSON line; exit code 0, or 1 with `error` in it, or 2 for a bad configuration.
"""

import anyio
import httpx2
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

import conversation


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


async def cancel_one(client, cancel):
    """Begins a slow call and leaves its scope once the PSA has it; the connection stays until the PSA has seen the end."""
    scope = anyio.CancelScope()
    ended = "answered"

    async def slow():
        nonlocal ended
        with scope:
            await client.call_tool("call_api_endpoint", cancel["call"])
        if scope.cancelled_caught:
            ended = "rejected"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow)
        if not await conversation.begun(cancel["watch"]):
            ended = "never begun"
        scope.cancel()
    return {"ended": ended, "aborted": await conversation.aborted(cancel["watch"])}


async def run(config, trace):
    mode = config.get("mode", "auto")
    if mode == "modern":
        mode = MODERN_PROTOCOL_VERSIONS[-1]
    async with httpx2.AsyncClient(auth=provider(config), **conversation.http_options(config, trace)) as http:
        transport = streamable_http_client(config["mcp_url"], http_client=http)
        info = Implementation(name="sidegate-test-python", version="1.0.0")
        async with Client(transport, mode=mode, client_info=info) as client:
            result = {"revision": client.protocol_version} | await conversation.converse(client, config)
            if config.get("cancel"):
                result["cancelled"] = await cancel_one(client, config["cancel"])
            return result


def label(config):
    return f"python-{config.get('mode', 'auto')}" + ("" if config.get("token") else "-client-credentials")


if __name__ == "__main__":
    conversation.main(label, run)
