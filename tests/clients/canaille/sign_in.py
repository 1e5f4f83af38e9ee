"""Gets tokens from Canaille as programs and people do: by signing in through its own pages (authorization code with PKCE),
or with a client's own credentials.

Configuration (JSON, first argument): the ready line of serve.py. Prints one JSON line: {person: token answer,
machine: token answer}; exit code 0, or 1 with `error` in it.
"""

import base64
import hashlib
import html
import json
import re
import secrets
import sys
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx


def fields(page):
    """The hidden fields of the page's form; only the token against forgery matters."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = (re.search(rf'{key}="([^"]*)"', tag) for key in ("name", "value"))
        if name and 'type="hidden"' in tag:
            found[name[1]] = html.unescape(value[1]) if value else ""
    return found


def sign_in(http, config, metadata, challenge):
    """Walks from the authorization endpoint to the redirect to the client, filling in one form after the other."""
    asked = {
        "response_type": "code",
        "client_id": config["client_id"],
        "redirect_uri": config["redirect_uri"],
        "scope": "openid profile email",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    answers = [{"login": config["person"]["login"]}, {"password": config["person"]["password"]}, {"answer": "accept"}]
    answer = http.get(f"{metadata['authorization_endpoint']}?{urlencode(asked)}")
    for _ in range(12):
        if location := answer.headers.get("location"):
            url = urljoin(str(answer.url), location)
            if url.startswith(config["redirect_uri"]):
                return parse_qs(urlsplit(url).query)["code"][0]
            answer = http.get(url)
            continue
        if answer.status_code != 200 or not answers:
            raise RuntimeError(f"{answer.url} answered {answer.status_code}: {answer.text[:300]}")
        answer = http.post(answer.url, data=fields(answer.text) | answers.pop(0))
    raise RuntimeError("signing in did not end within twelve steps")


def main():
    config = json.loads(sys.argv[1])
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with httpx.Client() as http:
        metadata = http.get(f"{config['issuer']}/.well-known/openid-configuration").raise_for_status().json()
        client = (config["client_id"], config["client_secret"])
        code = sign_in(http, config, metadata, challenge)
        grant = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": config["redirect_uri"],
            "code_verifier": verifier,
        }
        person = http.post(metadata["token_endpoint"], data=grant, auth=client).json()
        machine = http.post(metadata["token_endpoint"], data={"grant_type": "client_credentials"}, auth=client).json()
        return {"person": person, "machine": machine}


try:
    print(json.dumps(main()))
except Exception as error:  # whatever it is, the test shows it
    print(json.dumps({"error": repr(error)}))
    sys.exit(1)
