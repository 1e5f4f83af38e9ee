"""What benches/compare/run.sh compares: the servers, each with its configuration, and the kinds of requests to them."""

from stage import CALL, DENIED, DISCOVER, LIST, REFUSED, SEARCH, Stage

# Each Sidegate by its name, and what its configuration has beside the common part; `main` has nothing.
SIDEGATES = {
    "main": {},
    "sink": {"more": '[[sinks]]\nkind = "file"\npath = "{home}/audit.jsonl"\n'},
    "all": {"more": '[audit]\ndurability = "all"\n'},
    "relaxed": {"more": '[audit]\ndurability = "relaxed"\n'},
    "bare": {"more": '[audit]\ndurability = "relaxed"\nqueue = 1\n'},
    "tls": {"tls": True},
    "passthrough": {"more": "[passthrough]\nenabled = true\n", "path": "/api/v1/tickets"},
}

# name: title, server, transport, request, algorithm of a token that is new for each request.
SCENARIOS = {
    "direct": ("the stub, asked directly", "stub", "h1", CALL, None),
    "nginx": ("nginx, plain proxy", "nginx", "h1", CALL, None),
    "passthrough": ("Sidegate, passthrough", "passthrough", "h1", CALL, None),
    "call": ("tools/call", "main", "h1", CALL, None),
    "new-rs256": ("  new RS256 token each time", "main", "h1", CALL, "RS256"),
    "new-es256": ("  new ES256 token each time", "main", "h1", CALL, "ES256"),
    "new-eddsa": ("  new EdDSA token each time", "main", "h1", CALL, "EdDSA"),
    "call-sink": ("  record carried to a file too", "sink", "h1", CALL, None),
    "call-all": ("  durability all", "all", "h1", CALL, None),
    "call-relaxed": ("  durability relaxed", "relaxed", "h1", CALL, None),
    "call-bare": ("  next to nothing recorded", "bare", "h1", CALL, None),
    "search": ("search_api_registry", "main", "h1", SEARCH, None),
    "list": ("tools/list", "main", "h1", LIST, None),
    "discover": ("server/discover", "main", "h1", DISCOVER, None),
    "denial": ("denial (a write by a reader)", "main", "h1", DENIED, None),
    "refusal": ("refusal (401, no token)", "main", "h1", REFUSED, None),
    "nginx-tls": ("nginx, TLS", "nginx", "tls", CALL, None),
    "call-tls": ("tools/call, TLS", "tls", "tls", CALL, None),
    "nginx-h2": ("nginx, TLS, HTTP/2", "nginx", "h2", CALL, None),
    "call-h2": ("tools/call, TLS, HTTP/2", "tls", "h2", CALL, None),
}
# What a row's CPU is divided by: nginx over the same transport.
REFERENCES = {"h1": "nginx", "tls": "nginx-tls", "h2": "nginx-h2"}


def staged(directory, servers, binary, chosen):
    """The stage with the servers that the chosen scenarios need, and their loads."""
    algorithms = sorted({"ES256"} | {SCENARIOS[name][4] for name in chosen} - {None})
    stage = Stage(directory, servers, binary, algorithms)
    loads = []
    for name, (title, server, how, request, algorithm) in SCENARIOS.items():
        if name not in chosen:
            continue
        if server not in stage.started:
            stage.started[server] = stage.nginx() if server == "nginx" else stage.sidegate(server, **SIDEGATES[server])
        loads.append(stage.load(name, stage.started[server], request, title, how, algorithm, REFERENCES[how]))
        if name == "passthrough":
            # Agents' tokens are not passed on.
            del loads[-1].headers["Authorization"]
            loads[-1].headers["X-Api-Key"] = "a-key-of-the-psa"
    return stage, loads
