"""/openapi.json and /docs: the API's description, for machines and, without any script, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, render_template

from fhir_bridge.gateway.answers import answer
from fhir_bridge.gateway.rights import ports
from fhir_bridge.workbench.pages import html

if TYPE_CHECKING:
    from collections.abc import Iterator

blueprint = Blueprint("docs", __name__, template_folder="templates")

_METHODS = ("get", "put", "post", "delete", "patch")


@blueprint.get("/openapi.json")
def description() -> Response:
    """The API, machine-readable."""
    return answer(_spec())


@blueprint.get("/docs")
def reference() -> Response:
    """The API, for people."""
    spec = _spec()
    groups: dict[str, list[dict[str, Any]]] = {}
    for operation in _operations(spec):
        groups.setdefault(operation["tag"], []).append(operation)
    page = render_template(
        "docs.html",
        spec=spec,
        groups=groups.items(),
        schemas=spec["components"]["schemas"],
        version=ports().settings.version,
    )
    return html(page)


def _spec() -> dict[str, Any]:
    app = current_app
    assert isinstance(app, APIFlask)
    assert isinstance(app.spec, dict)
    return app.spec


def _operations(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, item in sorted(spec["paths"].items()):
        for method in _METHODS:
            if method in item:
                operation = item[method]
                yield {
                    "method": method.upper(),
                    "path": path,
                    "tag": (operation.get("tags") or ["Other"])[0],
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "right": operation.get("x-right"),
                    "parameters": operation.get("parameters", []),
                    "body": _body(operation),
                    "responses": {status: _resolved(spec, answer) for status, answer in operation["responses"].items()},
                }


def _resolved(spec: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    shared = response.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = spec["components"]["responses"][shared] if shared else response
    return found


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    references = [media.get("schema", {}).get("$ref", "") for media in content.values()]
    return references[0].rpartition("/")[2] if references and references[0] else ""
