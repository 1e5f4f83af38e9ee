"""The servers of the benches: the stub in the PSA's and the issuer's place, nginx and Sidegates in front of it, and the
requests that they are sent. Python's standard library only."""

import json
import os
import time

from fixtures import NGINX, PROXY, SIDEGATE, STUB, TENANT, certificate, headers, message, registry, tickets_body, tool
from loads import Load
from servers import Failed, free_ports, http, wait_for
from tokens import Issuer

ENTRIES = 790
READ, WRITE = "get-_api_v1_tickets", "post-_api_v1_tickets"

# Each request: its method, its tool and arguments, and the status and a part of the text of a good answer.
CALL = ("tools/call", "call_api_endpoint", {"entryId": READ, "query": {"limit": 4}}, (200, "TIC1000"))
DENIED = ("tools/call", "call_api_endpoint", {"entryId": WRITE, "body": {"title": "x"}}, (200, '"isError":true'))
SEARCH = ("tools/call", "search_api_registry", {"query": "list open tickets"}, (200, READ))
LIST = ("tools/list", None, None, (200, '"call_api_endpoint"'))
DISCOVER = ("server/discover", None, None, (200, '"supportedVersions"'))
REFUSED = (*CALL[:3], (401, ""))


class Server:
    def __init__(self, process, urls, ca_file=None, ops=None, config=None):
        self.process, self.pid = process, process.pid
        self.urls, self.ca_file, self.ops, self.config = urls, ca_file, ops, config


class Stage:
    """`entries` are those of the registry, `more` further ones, `locations` what nginx answers them with."""

    def __init__(self, directory, servers, binary, algorithms=("ES256",), entries=ENTRIES, more=(), locations=""):
        self.directory, self.servers, self.binary = directory, servers, binary
        self.stub_port, = free_ports(1)
        self.stub = f"http://127.0.0.1:{self.stub_port}"
        self.issuer = Issuer(self.stub, algorithms)
        self.certificate, self.key = certificate(directory)
        self.serial = 0
        self.started = {"stub": self.start_stub(registry(entries, more), locations)}

    def start_stub(self, entries, locations):
        static = self.directory / "stub"
        static.mkdir()
        discovery = {"issuer": self.stub, "jwks_uri": f"{self.stub}/jwks", "token_endpoint": f"{self.stub}/token",
                     "authorization_endpoint": f"{self.stub}/auth", "response_types_supported": ["code"],
                     "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]}
        for name, content in (("registry", entries), ("discovery", discovery), ("jwks", self.issuer.jwks)):
            (static / f"{name}.json").write_text(json.dumps(content))
        for name in ("catalog", "bench"):
            secret = self.directory / f"{name}.key"
            secret.write_text(f"{name}-key-0123456789abcdef0123456789abcdef\n")
            secret.chmod(0o600)
        body = STUB.format(dir=self.directory, port=self.stub_port, tickets=tickets_body(), locations=locations)
        process = self.start_nginx("stub", body, f"{self.stub}/__status")
        return Server(process, {"h1": f"{self.stub}/api/v1/tickets"})

    def start_nginx(self, name, body, probe):
        file = self.directory / f"{name}.conf"
        text = NGINX.format(dir=self.directory, name=name, body=body)
        file.write_text("user root;" + text if os.geteuid() == 0 else text)
        process = self.servers.start(name, ["nginx", "-e", "stderr", "-p", str(self.directory), "-c", str(file)])
        wait_for(self.servers, name, process, probe)
        return process

    def nginx(self):
        """A plain proxy, without TLS and with it."""
        port, tls = free_ports(2)
        body = PROXY.format(port=port, tls=tls, stub=self.stub_port, certificate=self.certificate, key=self.key)
        process = self.start_nginx("nginx", body, f"http://127.0.0.1:{port}/__alive")
        plain, secure = f"http://127.0.0.1:{port}/api/v1/tickets", f"https://localhost:{tls}/api/v1/tickets"
        return Server(process, {"h1": plain, "tls": secure, "h2": secure}, self.certificate)

    def sidegate(self, name, more="", tls=False, store=None, path="/api/mcp", agents=""):
        """`more` and `agents` are what its configuration has beside the common part."""
        home = self.directory / f"sidegate-{name}"
        home.mkdir()
        port, ops = free_ports(2)
        url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        files = f'tls_cert_file = "{self.certificate}"\ntls_key_file = "{self.key}"\n' if tls else ""
        config = home / "sidegate.toml"
        config.write_text(SIDEGATE.format(
            port=port, ops=ops, url=url, tls=files, dir=self.directory, store=store or f"sqlite://{home}/sidegate.db",
            stub=self.stub_port, tenant=TENANT, issuer=self.stub, more=more.format(home=home), agents=agents))
        process = self.run_sidegate(f"sidegate-{name}", config)
        wait_for(self.servers, f"sidegate-{name}", process, f"http://127.0.0.1:{ops}/readyz", 120)
        return Server(process, dict.fromkeys(("h1", "tls", "h2"), url + path), self.certificate, ops, config)

    def run_sidegate(self, name, config):
        if not self.binary or not os.access(self.binary, os.X_OK):
            raise Failed(f"there is no Sidegate binary at {self.binary or '(no --binary)'}")
        return self.servers.start(name, [os.path.abspath(self.binary), "serve", "--config", str(config)])

    def load(self, name, server, request, title=None, how="h1", algorithm=None, reference=None):
        """Requests of one kind; with `algorithm` each has a token that nobody has seen."""
        method, tool_name, arguments, answers = request
        url = server.urls[how]
        fields = headers(method, tool_name, None if answers[0] == 401 else self.token(url))
        body = tool(tool_name, arguments) if tool_name else message(method)
        tokens = (lambda count: [self.token(url, algorithm) for _ in range(count)]) if algorithm else None
        return Load(name, title or name, server, url, fields, body, answers, reference, how == "h2", tokens)

    def token(self, audience, algorithm="ES256", subject="bench"):
        self.serial += 1
        now = int(time.time())
        claims = {"sub": subject, "aud": audience, "iat": now, "exp": now + 7200, "jti": f"bench-{self.serial}"}
        return self.issuer.token(algorithm, **claims)

    def upstream_calls(self):
        """Requests that the stub has ever answered, this question left out."""
        status, text = http(f"{self.stub}/__status")
        if status != 200:
            raise Failed(f"the stub's status is not readable: {text}")
        return int(text.splitlines()[2].split()[2]) - 1
