"""A throw-away issuer of the benches: its keys, its key set and its tokens in RS256, ES256 and EdDSA.

Tokens are signed in this process by OpenSSL's libcrypto: a command for each of thousands would take minutes. Python's
standard library and the openssl command only.
"""

import base64
import ctypes
import ctypes.util
import json
import subprocess

from servers import Failed

# How each key is made, and the size of each half of its signature where JWS wants two numbers side by side.
KINDS = {
    "RS256": (["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], None),
    "ES256": (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], 32),
    "EdDSA": (["ED25519"], None),
}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


def libcrypto():
    try:
        library = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
    except OSError as error:
        raise Failed(f"OpenSSL's libcrypto cannot be loaded ({error}); install Debian's package libssl3") from None
    for name in ("d2i_AutoPrivateKey", "EVP_MD_CTX_new", "EVP_sha256"):
        getattr(library, name).restype = ctypes.c_void_p
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.d2i_AutoPrivateKey.argtypes = [pointer, pointer, ctypes.c_long]
    library.EVP_DigestSignInit.argtypes = [pointer] * 5
    library.EVP_DigestSign.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, size]
    library.EVP_MD_CTX_free.argtypes = [pointer]
    return library


class Issuer:
    def __init__(self, url, algorithms):
        self.url, self.library, self.keys, self.jwks = url, libcrypto(), {}, {"keys": []}
        for algorithm in algorithms:
            made = openssl("genpkey", "-algorithm", *KINDS[algorithm][0], "-outform", "DER")
            start = ctypes.cast(ctypes.c_char_p(made), ctypes.c_void_p)
            self.keys[algorithm] = self.library.d2i_AutoPrivateKey(None, ctypes.byref(start), len(made))
            self.jwks["keys"].append({"kid": algorithm, "alg": algorithm, "use": "sig", **public(algorithm, made)})

    def token(self, algorithm, **claims):
        header = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (header, {"iss": self.url, **claims}))
        return f"{signed}.{b64(self.signature(algorithm, signed.encode()))}"

    def signature(self, algorithm, signed):
        digest = None if algorithm == "EdDSA" else self.library.EVP_sha256()
        context = self.library.EVP_MD_CTX_new()
        buffer, length = ctypes.create_string_buffer(512), ctypes.c_size_t(512)
        good = self.library.EVP_DigestSignInit(context, None, digest, None, self.keys[algorithm]) == 1
        good = good and self.library.EVP_DigestSign(context, buffer, ctypes.byref(length), signed, len(signed)) == 1
        self.library.EVP_MD_CTX_free(context)
        if not good:
            raise Failed(f"OpenSSL does not sign with {algorithm}")
        made, half = buffer.raw[: length.value], KINDS[algorithm][1]
        if half is None:
            return made
        # OpenSSL signs in DER; JWS wants r and s one after the other (RFC 7518 section 3.4).
        size = made[3]
        r, s = made[4 : 4 + size], made[6 + size :]
        return b"".join(number.lstrip(b"\0").rjust(half, b"\0") for number in (r, s))


def public(algorithm, key):
    """The members of a JWK that are the public key of this private one, which is in DER."""
    if algorithm == "RS256":
        modulus = openssl("rsa", "-inform", "DER", "-noout", "-modulus", data=key).decode().strip().partition("=")[2]
        return {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}
    info = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=key)
    if algorithm == "ES256":
        return {"kty": "EC", "crv": "P-256", "x": b64(info[-64:-32]), "y": b64(info[-32:])}
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(info[-32:])}
