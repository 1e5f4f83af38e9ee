"""What the servers of benches/compare.py are given: configurations, the stub's answers, an issuer's key and a token.

Python's standard library and the openssl command only.
"""

import base64
import json
import subprocess

TENANT = "7b0c0a52-5d1e-4b9a-9d3c-0f8a3c1d2e10"


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


def registry():
    entry = {
        "id": "get-_api_v1_tickets",
        "method": "get",
        "path": "/api/v1/tickets",
        "displayName": "List tickets",
        "summary": "List tickets",
        "description": "Tickets of the tenant, newest first.",
        "tags": ["Tickets"],
        "approvalRequired": False,
        "parameters": [
            {"name": "page", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1}},
            {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        ],
    }
    return {"data": {"edition": "ce", "count": 1, "entries": [entry]}, "meta": {"message": "registry"}}


NGINX = """
daemon off; master_process on; worker_processes 1; pid {dir}/{name}.pid; error_log stderr error;
events {{ worker_connections 4096; }}
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
    }}
"""

PROXY = """
    upstream stub {{ server 127.0.0.1:{stub}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port};
        location = /__alive {{ return 200; }}
        location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""

SIDEGATE = """
[server]
listen = ["127.0.0.1:{port}"]
allow_plaintext = true
public_url = "http://127.0.0.1:{port}"

[ops]
listen = "127.0.0.1:{ops}"

[admin]
listen = []

[store]
url = "sqlite://{home}/sidegate.db"

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

{record}
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
"""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def signing_key(directory):
    """A throw-away ES256 key: its file and its public JWK."""
    file = directory / "issuer.pem"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(file))
    point = openssl("ec", "-in", str(file), "-pubout", "-outform", "DER")[-64:]
    jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "bench", "x": b64(point[:32]), "y": b64(point[32:])}
    return file, jwk


def token(key_file, claims):
    """A JWT signed with ES256. openssl signs in DER; JWS wants r and s, 32 bytes each (RFC 7518 section 3.4)."""
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "bench"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    der = openssl("dgst", "-sha256", "-sign", str(key_file), data=signed.encode())
    length = der[3]
    r, s = der[4 : 4 + length], der[6 + length :]
    signature = b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))
    return f"{signed}.{b64(signature)}"
