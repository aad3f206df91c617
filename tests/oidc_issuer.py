"""An identity provider for tests: discovery and key set over HTTP, and tokens signed by whatever key. Nothing is kept."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

AUDIENCE = "fhir-bridge"


def rsa(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


class Issuer:
    def __init__(self) -> None:
        self.keys = [rsa("first")]
        issuer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"},
                    "/keys": {"keys": [key.as_dict(private=False) for key in issuer.keys]},
                }
                self.send_response(200 if self.path in known else 404)
                self.end_headers()
                self.wfile.write(json.dumps(known.get(self.path)).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "anna", "roles": ["relations"], "exp": now + 600, "iat": now}
        return {name: value for name, value in (claims | more).items() if value is not None}

    def token(self, key: Any = None, alg: str = "RS256", header: dict[str, Any] | None = None, **more: Any) -> str:
        signer = key or self.keys[0]
        return jwt.encode(
            {"alg": alg, "kid": signer.kid} | (header or {}), self.claims(**more), signer, algorithms=[alg]
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
