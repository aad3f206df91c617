"""openapi.yaml: the application's description of itself, completed with what every route has in common.

Schemas and routes are the source; this adds the errors in their protocol's form, the bearer token and each route's
right, and drops what says nothing. The file at the root of the repository is written from it, and a test compares.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fhir_bridge.gateway.answers import FHIR, PROBLEM
from fhir_bridge.gateway.routes import PUBLIC, declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apiflask import APIFlask

# APIFlask registers what stands both inside others and alone twice, and apispec says so; _without_twins puts it right.
warnings.filterwarnings("ignore", message=".*has already been added to the spec", module="apispec")

TITLE = "fhir-bridge"
DESCRIPTION = (
    "A gateway from a hospital's EHR feeds to its Patient Relations Associates. Every list is paged by cursor; changes"
    " take an Idempotency-Key, changes to a task an If-Match; a change whose outcome is late answers 202."
)
SCHEME = "bearer"
METHODS = ("get", "put", "post", "delete", "patch")
_OUTCOME = {"type": "object", "required": ["resourceType", "issue"], "properties": {"issue": {"type": "array"}}}
_ERRORS = {
    "400": "The request cannot be read.",
    "401": "A valid bearer token is needed.",
    "403": "The caller has not this right: `right` names it.",
    "404": "There is no such thing, or not for this caller.",
    "413": "The body is too large.",
    "415": "The content type is not taken.",
    "422": "The request is not valid.",
    "503": "A store cannot be used now; try again.",
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "description": "The same key and body again get the first answer.",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": '^(\\*|(W/)?"[0-9]{1,18}"|[0-9]{1,18})$'},
    "description": "The ETag of the task as it was read; 412 where it has changed.",
}


def complete(app: APIFlask, spec: dict[str, Any]) -> dict[str, Any]:
    """The description with errors, security, rights and headers."""
    rights = declared(app)
    spec["tags"] = list({tag["name"]: tag for tag in spec.get("tags", [])}.values())
    for path, method, operation in operations(spec):
        right = rights[_endpoint(app, path, method)]
        if right != PUBLIC:
            operation["security"] = [{SCHEME: []}]
            operation["x-right"] = str(right)
        _add_errors(path, method, operation, public=right == PUBLIC)
        if method in ("post", "put") and path != "/hl7v2" and not path.endswith("/break-glass"):
            _add_parameter(operation, _IDEMPOTENCY)
        if method == "post" and path.startswith("/api/tasks/"):
            _add_parameter(operation, _IF_MATCH)
        if path.startswith("/fhir/") and method in ("post", "put"):
            operation["requestBody"] = {"required": True, "content": {FHIR: {"schema": {"type": "object"}}}}
        if path == "/hl7v2":
            operation["requestBody"] = {
                "required": True,
                "content": {"x-application/hl7-v2+er7": {"schema": {"type": "string"}}},
            }
        for parameter in operation["parameters"]:
            _require_or_leave_out(parameter["schema"])
    spec["components"]["responses"] = _shared()
    spec["components"]["schemas"]["OperationOutcome"] = _OUTCOME
    return _in_order(_without_twins(spec))


def _in_order(spec: dict[str, Any]) -> dict[str, Any]:
    """Version first, paths and schemas by name, so that a change of one place changes one place of the file."""
    spec["paths"] = dict(sorted(spec["paths"].items()))
    spec["components"]["schemas"] = dict(sorted(spec["components"]["schemas"].items()))
    return {"openapi": spec.pop("openapi")} | spec


def _require_or_leave_out(schema: dict[str, Any]) -> None:
    """A parameter that is not sent is left out: there is no null in a URL."""
    if schema.pop("nullable", False):
        schema.pop("default", None)
        if "enum" in schema:
            schema["enum"] = [value for value in schema["enum"] if value is not None]


def _without_twins(spec: dict[str, Any]) -> dict[str, Any]:
    """What is registered as Why and Why1 alike is one."""
    schemas = spec["components"]["schemas"]
    twins = {name: name[:-1] for name in schemas if name.endswith("1") and schemas.get(name[:-1]) == schemas[name]}
    for name in twins:
        del schemas[name]
    at = "#/components/schemas/"
    renamed: dict[str, Any] = _renamed(spec, {at + twin: at + name for twin, name in twins.items()})
    return renamed


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """Any JSON with some of its texts exchanged."""
    if isinstance(value, dict):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each route."""
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _endpoint(app: APIFlask, path: str, method: str) -> str:
    for rule in app.url_map.iter_rules():
        if _template(rule.rule) == path and method.upper() in (rule.methods or ()):
            return str(rule.endpoint)
    raise LookupError(path)


def _template(rule: str) -> str:
    """A route as OpenAPI writes it: converters gone."""
    parts = []
    for part in rule.split("/"):
        inside = part[1:-1].rpartition(":")[2] if part.startswith("<") else ""
        parts.append("{" + inside + "}" if inside else part)
    return "/".join(parts)


def _add_parameter(operation: dict[str, Any], parameter: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append(parameter)


def _add_errors(path: str, method: str, operation: dict[str, Any], *, public: bool) -> None:
    responses = operation["responses"]
    wanted = {"503"} if public else {"401", "403", "503"}
    if "{" in path:
        wanted.add("404")
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        wanted |= {"404", "422"}
    if method in ("post", "put") and path != "/hl7v2":
        wanted |= {"400", "404", "413", "415", "422"}
    for status in sorted(wanted):
        if path == "/hl7v2":
            responses.setdefault(status, {"description": _ERRORS[status]})
        elif path != "/health/ready":
            responses[status] = _described(path, status, responses.get(status, {}))
    for status, response in responses.items():
        if status[0] in "45" and "content" in response and path.startswith("/api"):
            response["content"] = _error(path)


def _described(path: str, status: str, known: dict[str, Any]) -> dict[str, Any]:
    """An error that many routes share, by its name; one that a route describes itself, as it does."""
    if status == "401":
        return {"$ref": "#/components/responses/Unauthorized"}
    if known.get("description") in (None, "Validation error"):
        return {"$ref": f"#/components/responses/{_shape(path)}{status}"}
    return {"description": known["description"], "content": _error(path)}


def _shape(path: str) -> str:
    return "Outcome" if path.startswith("/fhir") else "Problem"


def _shared() -> dict[str, Any]:
    shared = {
        f"{_shape(path)}{status}": {"description": text, "content": _error(path)}
        for path in ("/api", "/fhir")
        for status, text in _ERRORS.items()
        if status != "401"
    }
    challenge = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return shared | {"Unauthorized": {"description": _ERRORS["401"], "headers": challenge}}


def _error(path: str) -> dict[str, Any]:
    if path.startswith("/fhir"):
        return {FHIR: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}}
    return {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
