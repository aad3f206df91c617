"""Who calls, and what each route asks of them: bearer tokens and the right that every view declares.

A view without a declared right stops the application from starting, so nothing is open by forgetting. The policy
itself is privacy/policy.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flask import current_app, g, request

from fhir_bridge.gateway.faults import Fault
from fhir_bridge.privacy import Action, decide, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from fhir_bridge.gateway.ports import Ports
    from fhir_bridge.privacy import Principal

EXTENSION = "fhir-bridge"
PUBLIC = "public"
_ATTRIBUTE = "declared_right"
_ROUTES = "fhir-bridge-rights"

View = TypeVar("View", bound="Callable[..., Any]")


class UndeclaredRight(Exception):
    """A view that declares neither a right nor that it is public."""


def needs(action: Action) -> Callable[[View], View]:
    """Declare the right that a view asks for."""
    return _declare(action)


def public(view: View) -> View:
    """Declare that a view is for everyone: it holds no PHI and changes nothing."""
    return _declare(PUBLIC)(view)


def _declare(right: Action | str) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        setattr(view, _ATTRIBUTE, right)
        return view

    return decorate


def declared(app: Flask) -> dict[str, Action | str]:
    """The right of each endpoint. Raises UndeclaredRight."""
    rights = {name: getattr(view, _ATTRIBUTE, None) for name, view in app.view_functions.items()}
    missing = sorted(name for name, right in rights.items() if right is None)
    if missing:
        raise UndeclaredRight(f"views without a declared right: {', '.join(missing)}")
    return {name: right for name, right in rights.items() if right is not None}


def install(app: Flask) -> None:
    """Check every request's right before its view runs. To be called after the last view was registered."""
    app.extensions[_ROUTES] = declared(app)
    app.before_request(authorise)


def ports() -> Ports:
    """The ports of the running application."""
    found: Ports = current_app.extensions[EXTENSION]
    return found


def caller() -> Principal:
    """Who calls; only in views that declare a right."""
    principal: Principal = g.principal
    return principal


def route() -> str:
    """The template of the route that was called, for logs, metrics and audit."""
    return request.url_rule.rule if request.url_rule else "(no route)"


def authorise() -> None:
    """Let a request pass or raise a 401 or 403 fault; a caller that is turned away for its role is audited."""
    if request.endpoint is None:
        return
    right = current_app.extensions[_ROUTES][request.endpoint]
    if right == PUBLIC:
        return
    g.principal = _authenticate()
    require(Action(right))


def require(action: Action) -> None:
    """Fault 403 where the caller has not this right."""
    decision = decide(caller(), action, None)
    if not decision.allowed:
        ports().audit.write([event(caller(), action, "", decision, route=route(), at=ports().clock())])
        raise Fault(403, "forbidden", "Your role does not have this right.")


def allowed(action: Action) -> bool:
    """Whether the caller has a further right, on which a part of an answer depends."""
    return decide(caller(), action, None).allowed


def _authenticate() -> Principal:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    principal = ports().tokens.principal(secret.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        challenge = {"WWW-Authenticate": 'Bearer realm="fhir-bridge"'}
        raise Fault(401, "unauthorized", "A valid bearer token is needed.", headers=challenge)
    return principal
