"""The Flask application: routes put together, every request checked, every error in its protocol's form.

What it needs comes in as `Ports`; wiring fills them and granian serves the result. No settings are read here and no
store is named.
"""

from __future__ import annotations

import sqlite3
import time
import traceback
from typing import TYPE_CHECKING, Any

import orjson
import structlog
import yaml
from apiflask import APIFlask, HTTPError
from flask import Response, g, request

from fhir_bridge.api import answers as api_answers
from fhir_bridge.api import (
    break_glass,
    communications,
    deliveries,
    feeds,
    mappings,
    messages,
    openapi,
    patients,
    status,
    tasks,
)
from fhir_bridge.api.schemas import UNKNOWN
from fhir_bridge.feeds import fhir_rest, hl7v2_http
from fhir_bridge.fhir import audit as fhir_audit
from fhir_bridge.fhir import read as fhir_read
from fhir_bridge.gateway import metrics, rights, trail
from fhir_bridge.gateway.answers import FHIR, PROBLEM, answer
from fhir_bridge.gateway.faults import Fault, Place, from_status, operation_outcome, problem, unavailable
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.workbench import docs, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_bridge.gateway.ports import Ports

LARGEST_BODY = 1 << 20
BLUEPRINTS = (
    patients.blueprint,
    break_glass.blueprint,
    tasks.blueprint,
    communications.blueprint,
    messages.blueprint,
    mappings.blueprint,
    deliveries.blueprint,
    status.blueprint,
    feeds.blueprint,
    fhir_read.blueprint,
    fhir_audit.blueprint,
    fhir_rest.blueprint,
    hl7v2_http.blueprint,
    pages.blueprint,
    docs.blueprint,
)

_log = structlog.get_logger("web")


def create_app(ports: Ports) -> APIFlask:
    """The application over these ports. Raises routes.UndeclaredRight for a route without a right."""
    app = APIFlask(
        "fhir_bridge",
        title=openapi.TITLE,
        version=ports.settings.version,
        spec_path=None,
        docs_path=None,
        static_folder=None,  # type: ignore[arg-type]  # Flask's own type allows it
    )
    app.config.update(
        DESCRIPTION=openapi.DESCRIPTION,
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_OPERATION_ID=True,
        HTTP_ERROR_SCHEMA=api_answers.Problem,
        VALIDATION_ERROR_SCHEMA=api_answers.Problem,
        SECURITY_SCHEMES={openapi.SCHEME: {"type": "http", "scheme": "bearer"}},
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.extensions[rights.EXTENSION] = ports
    app.extensions[status.REGISTRY], requests = metrics.registry(ports)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    _describe(app)
    _watch(app, requests)
    rights.install(app)
    _register_errors(app)
    return app


def _describe(app: APIFlask) -> None:
    @app.spec_processor
    def complete(spec: Any) -> dict[str, Any]:
        return openapi.complete(app, spec)


def _watch(app: APIFlask, requests: Any) -> None:
    """Time and log every request: by template and status, never by path or body (I10)."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.before_request
    def only_json() -> None:
        # The body of another type would be taken for an empty one, and so be lost without a word.
        if request.path.startswith("/api/") and request.content_length and not request.is_json:
            raise Fault(415, "not-json", "Send application/json.")

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        route = rights.route()
        requests.labels(request.method, route, response.status_code).observe(seconds)
        principal = g.principal.id if "principal" in g else None
        _log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            principal=principal,
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.after_request  # the last one to be registered runs first
    def settle(response: Response) -> Response:
        try:
            trail.settle()
        except StoreUnavailable as error:
            return _store_unavailable(error)
        return response


def _register_errors(app: APIFlask) -> None:
    app.register_error_handler(Fault, _answer_fault)
    app.register_error_handler(StoreUnavailable, _store_unavailable)
    app.register_error_handler(sqlite3.Error, _store_unavailable)
    app.register_error_handler(Exception, _unexpected)

    @app.error_processor
    def refused(error: HTTPError) -> Response:
        return _answer_fault(_fault_of(error))


def _answer_fault(fault: Fault) -> Response:
    """An error in the form of the protocol that was spoken. Who cannot be told from anybody is told nothing."""
    if fault.status == 401:
        return Response(b"", 401, headers=fault.headers)
    if request.path.startswith("/fhir"):
        return answer(operation_outcome(fault), fault.status, headers=fault.headers, content_type=FHIR)
    if request.path.startswith("/hl7v2"):
        return Response(b"", fault.status, headers=fault.headers, content_type=hl7v2_http.ER7)
    return answer(problem(fault), fault.status, headers=fault.headers, content_type=PROBLEM)


def _fault_of(error: HTTPError) -> Fault:
    """What the libraries refused: bad routes, methods and bodies, and fields that a schema does not take."""
    headers = {k: str(v) for k, v in dict(error.headers or {}).items() if k.lower() != "content-type"}
    if error.status_code != 422 or not isinstance(error.detail, dict):
        return from_status(error.status_code, headers)
    places = tuple(place for inner in error.detail.values() for place in _places(inner))
    return Fault(422, "invalid-request", "The request is not valid.", places=places, headers=headers)


def _places(messages: Any, path: str = "") -> Iterator[Place]:
    """What marshmallow found, as places. A field that no schema has is not named: its name is the caller's."""
    if not isinstance(messages, dict):
        messages = {"_schema": messages}
    for name, inner in messages.items():
        unknown = isinstance(inner, list) and len(inner) == 1 and str(inner[0]).startswith(UNKNOWN)
        here = path if unknown or name == "_schema" else f"{path}.{name}".lstrip(".")
        if isinstance(inner, dict):
            yield from _places(inner, here)
        else:
            for text in inner:
                yield Place(here, "unknown-field" if unknown else "invalid-value", str(text))


def _store_unavailable(error: Exception) -> Response:
    _log.error("store-unavailable", error=type(error).__name__, route=rights.route(), where=_where(error))
    return _answer_fault(unavailable("store-unavailable", "A store cannot be used now; nothing was done."))


def _unexpected(error: Exception) -> Response:
    """500. The exception's own words may hold values, so only its kind and place are logged."""
    _log.error("unexpected", error=type(error).__name__, route=rights.route(), where=_where(error))
    return _answer_fault(Fault(500, "internal-error", "Something went wrong here; it was logged."))


def _where(error: Exception) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rpartition('fhir_bridge/')[2]}:{frame.lineno}" for frame in frames[-4:]]


def write_openapi(app: APIFlask, file: Path) -> None:
    """Write openapi.yaml."""
    whole = orjson.loads(orjson.dumps(app.spec))  # without shared parts, which YAML would write as anchors
    file.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
