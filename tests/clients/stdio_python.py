"""The second generation of the official Python SDK over stdio: it starts the command itself.

Configuration (JSON, first argument or stdin): {command, args?, env?, mode?: "auto" (default) | "legacy", query?, read?, write?}.
"""

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import Implementation

import conversation


async def run(config, trace):
    server = StdioServerParameters(command=config["command"], args=config.get("args", []), env=config.get("env"))
    info = Implementation(name="sidegate-test-python", version="1.0.0")
    async with Client(stdio_client(server), mode=config.get("mode", "auto"), client_info=info) as client:
        return {"revision": client.protocol_version} | await conversation.converse(client, config)


if __name__ == "__main__":
    conversation.main(lambda config: f"python-{config.get('mode', 'auto')}-stdio", run, lambda config: config["command"])
