"""The first generation of the official Python SDK, with a bearer token that is handed in.

Configuration (JSON, first argument or stdin): {mcp_url, token, ca_file?, query?, read?, write?, cancel?}. Prints one JSON
line; exit code 0, or 1 with `error` in it, or 2 for a bad configuration.
"""

import asyncio

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CancelledNotification, CancelledNotificationParams, ClientNotification, Implementation

import conversation


async def cancel_one(session, calls, cancel):
    """Begins a slow call and calls it off once the PSA has it. Leaving the call sends nothing in this generation: the
    notification is the program's to send. The connection stays until the PSA has seen the end."""
    called = asyncio.create_task(session.call_tool("call_api_endpoint", cancel["call"]))
    ended = "never begun"
    if await conversation.begun(cancel["watch"]):
        params = CancelledNotificationParams(requestId=calls[-1], reason="called off by the test")
        await session.send_notification(ClientNotification(CancelledNotification(params=params)))
        called.cancel()
        (came,) = await asyncio.gather(called, return_exceptions=True)
        ended = "rejected" if isinstance(came, BaseException) else "answered"
    return {"ended": ended, "aborted": await conversation.aborted(cancel["watch"])}


def noting_calls(http, calls):
    """The SDK keeps the ids of its requests to itself; the wire shows them."""

    async def on_request(request):
        step = conversation.message_of(request)
        if step.get("method") == "tools/call":
            calls.append(step["id"])

    http.event_hooks = http.event_hooks | {"request": [on_request]}


async def run(config, trace):
    calls = []
    info = Implementation(name="sidegate-test-python-v1", version="1.0.0")
    async with httpx.AsyncClient(**conversation.http_options(config, trace)) as http:
        noting_calls(http, calls)
        async with streamable_http_client(config["mcp_url"], http_client=http) as (receive, send, _):
            async with ClientSession(receive, send, client_info=info) as session:
                agreed = await session.initialize()
                result = {"revision": agreed.protocolVersion} | await conversation.converse(session, config)
                if config.get("cancel"):
                    result["cancelled"] = await cancel_one(session, calls, config["cancel"])
                return result


if __name__ == "__main__":
    conversation.main(lambda _: "python-v1", run)
