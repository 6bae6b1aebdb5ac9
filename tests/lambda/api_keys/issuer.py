"""An OIDC issuer on loopback: signs tokens with RS256 by PyJWT, and publishes its keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

SCOPE = "easel/generate"


@dataclass
class Issuer:
    """`keys`: id to private key, of those that it publishes. `status`: of its responses. `reads`: how many it sent."""

    url: str
    keys: dict[str, RSAPrivateKey] = field(default_factory=dict)
    status: int = 200
    reads: int = 0

    def add_key(self, kid: str, bits: int = 2048) -> RSAPrivateKey:
        self.keys[kid] = generate_private_key(65537, bits)
        return self.keys[kid]

    def claims(self, now: float, **changes: Any) -> dict[str, Any]:
        """Return the claims of an access token of Cognito. A change to None removes one."""
        claims = {
            "sub": "24082478-7001-70e6-aaaa-bbbbccccdddd", "iss": self.url, "client_id": "page", "token_use": "access",
            "scope": f"openid email {SCOPE}", "auth_time": int(now), "iat": int(now), "exp": int(now) + 900,
            "username": "alice", "jti": "1",
        }  # fmt: skip
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, now: float, kid: str = "first", **changes: Any) -> str:
        return jwt.encode(self.claims(now, **changes), self.keys[kid], "RS256", {"kid": kid})

    def document(self) -> dict[str, Any]:
        numbers = {kid: RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for kid, key in self.keys.items()}
        keys = [{**number, "kid": kid, "alg": "RS256", "use": "sig"} for kid, number in numbers.items()]
        return {"keys": keys}


@contextmanager
def run_issuer() -> Iterator[Issuer]:
    """Run an issuer with one key, `first`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/pool/.well-known/jwks.json"
            issuer.reads += 1
            self.send_response(issuer.status if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(issuer.document()).encode())

        def log_message(self, *_: Any) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}/pool")
        issuer.add_key("first")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield issuer
        server.shutdown()
