"""Canaille, a real identity provider, on loopback with one person and one client; runs until stdin ends.

Argument (JSON): {resource: the audience of its tokens, redirect_uri}.
Ready line: {issuer, client_id, client_secret, redirect_uri, person: {login, password, email}}.
In its access tokens `sub` is the login; they name no client. Client credentials give opaque tokens. It knows nothing of
Sidegate: what it calls the audience of a client is another client, here one that is named after the resource.
"""

import json
import secrets
import socket
import sys
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from werkzeug.serving import WSGIRequestHandler, make_server

PERSON = {"login": "alice", "password": secrets.token_urlsafe(16), "email": "alice@acme.example"}


class Quiet(WSGIRequestHandler):
    """Says nothing of what it is asked."""

    def log(self, *_):
        pass


def application(address):
    return create_app(
        {
            "SECRET_KEY": secrets.token_urlsafe(32),
            "SERVER_NAME": address,
            "PREFERRED_URL_SCHEME": "http",
            "SESSION_COOKIE_SECURE": False,
            "CANAILLE": {"DATABASE": "memory", "LOGGING": None, "SMTP": None, "CAPTCHA_ENABLED": False},
            "CANAILLE_OIDC": {"REQUIRE_NONCE": False},
        }
    )


def populate(resource, redirect_uri):
    person = models.User(
        user_name=PERSON["login"],
        formatted_name="Alice Example",
        family_name="Example",
        given_name="Alice",
        emails=[PERSON["email"]],
        password=PERSON["password"],
    )
    Backend.instance.save(person)
    audience = models.Client(client_id=resource, client_name="tools", redirect_uris=[redirect_uri])
    Backend.instance.save(audience)
    client = models.Client(
        client_id="desk",
        client_secret=secrets.token_urlsafe(24),
        client_name="desk",
        redirect_uris=[redirect_uri],
        grant_types=["authorization_code", "client_credentials"],
        response_types=["code"],
        scope=["openid", "profile", "email"],
        token_endpoint_auth_method="client_secret_basic",
        audience=[audience],
    )
    Backend.instance.save(client)
    return client


def main():
    config = json.loads(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % listener.getsockname()[1]
    app = application(address)
    with app.app_context():
        client = populate(config["resource"], config["redirect_uri"])
        ready = {
            "issuer": f"http://{address}",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "redirect_uri": config["redirect_uri"],
            "person": PERSON,
        }
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet, fd=listener.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(ready), flush=True)
    sys.stdin.read()


main()
