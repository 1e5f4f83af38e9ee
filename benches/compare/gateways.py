"""Other gateways beside Sidegate (--peer NAME=PATH): each is given the same stub, issuer and requests.

Each is a function that starts the binary and returns its process and its MCP endpoint.
"""

import json

from fixtures import registry
from servers import Failed, free_ports, wait_for
from stage import ENTRIES


def agentgateway(binary, stage):
    """Its OpenAPI backend made from the same registry, a JWT checked against the same keys and one CEL rule.

    The configuration is valid by the schema of its repository as of August 2026 and has not been tried: no binary was at
    hand. `binds` has ports without addresses, so its endpoint may listen beyond loopback.
    """
    home = stage.directory / "agentgateway"
    home.mkdir()
    port, ready, admin, stats = free_ports(4)
    url = f"http://127.0.0.1:{port}/mcp"
    (home / "openapi.json").write_text(json.dumps(openapi(registry(ENTRIES))))
    rule = 'jwt.sub == "bench" && mcp.tool.name.startsWith("get-")'
    schema = {"file": str(home / "openapi.json")}
    target = {"name": "psa", "openapi": {"schema": schema, "host": f"127.0.0.1:{stage.stub_port}"}}
    keys = {"file": str(stage.directory / "stub" / "jwks.json")}
    route = {
        "policies": {
            "jwtAuth": {"issuer": stage.stub, "audiences": [url], "jwks": keys},
            "mcpAuthorization": {"rules": [rule]},
        },
        "backends": [{"mcp": {"statefulMode": "stateless", "targets": [target]}}],
    }
    addresses = {"adminAddr": admin, "statsAddr": stats, "readinessAddr": ready}
    config = {
        "config": {key: f"127.0.0.1:{value}" for key, value in addresses.items()} | {"logging": {"level": "error"}},
        "binds": [{"port": port, "listeners": [{"routes": [route]}]}],
    }
    # JSON is YAML.
    (home / "config.yaml").write_text(json.dumps(config, indent=1))
    process = stage.servers.start("agentgateway", [binary, "-f", str(home / "config.yaml")])
    wait_for(stage.servers, "agentgateway", process, f"http://127.0.0.1:{ready}/healthz/ready")
    return process, url


KNOWN = {"agentgateway": agentgateway}
# What every version of theirs speaks without a session.
REVISION = "2025-06-18"


def openapi(registry):
    """The registry as a document that an OpenAPI backend reads."""
    paths = {}
    for entry in registry["data"]["entries"]:
        operation = {"operationId": entry["id"], "summary": entry["summary"], "description": entry["description"],
                     "parameters": entry.get("parameters", []), "responses": {"200": {"description": "The answer"}}}
        if schema := entry.get("requestBodySchema"):
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        paths.setdefault(entry["path"], {})[entry["method"]] = operation
    return {"openapi": "3.0.3", "info": {"title": "PSA", "version": "1"}, "paths": paths}


def named(text):
    """Of NAME=PATH."""
    name, _, path = text.partition("=")
    if name not in KNOWN or not path:
        raise ValueError(f"NAME=PATH is wanted, and NAME is one of: {', '.join(sorted(KNOWN))}")
    return name, path


def started(name, path, stage):
    try:
        return KNOWN[name](path, stage)
    except OSError as error:
        raise Failed(f"--peer {name}: {path} cannot be started: {error}") from None
