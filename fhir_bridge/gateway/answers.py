"""JSON answers, and their headers. Bodies are plain values; what they look like is written in the schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from flask import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
PROBLEM = "application/problem+json"
FHIR = "application/fhir+json"


def answer(
    body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, content_type: str = JSON
) -> Response:
    """A body as JSON. Answers may hold PHI, so no cache keeps them."""
    response = Response(orjson.dumps(body), status, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def etag(version: int) -> str:
    """A version as a strong entity tag: ``"3"``."""
    return f'"{version}"'
