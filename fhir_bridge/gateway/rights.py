"""Who calls, and whether they have the right that their route asks for.

Which route asks for which right is routes.py's table; the policy itself is privacy/policy.py. Whoever is turned away
leaves a line in the audit trail, and hears nothing of whose data it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app, g, request

from fhir_bridge.gateway.faults import Fault
from fhir_bridge.gateway.routes import PUBLIC, declared, resource_type
from fhir_bridge.privacy import Action, AuditEvent, decide, event
from fhir_bridge.privacy.policy import QUEUES

if TYPE_CHECKING:
    from flask import Flask

    from fhir_bridge.gateway.ports import Ports
    from fhir_bridge.privacy import Principal

EXTENSION = "fhir-bridge"
SIGN_IN = "sign-in"
"""The action of an audit event about a caller who could not be told."""
CHALLENGE = 'Bearer realm="fhir-bridge"'
_ROUTES = "fhir-bridge-rights"


def install(app: Flask) -> None:
    """Check every request's right before its view runs. To be called after the last view was registered."""
    app.extensions[_ROUTES] = declared(app)
    app.before_request(authorise)


def ports() -> Ports:
    """The ports of the running application."""
    found: Ports = current_app.extensions[EXTENSION]
    return found


def caller() -> Principal:
    """Who calls; only in views whose route asks for a right."""
    principal: Principal = g.principal
    return principal


def route() -> str:
    """The template of the route that was called, for logs, metrics and audit."""
    return request.url_rule.rule if request.url_rule else "(no route)"


def authorise() -> None:
    """Let a request pass or raise a 401 or 403 fault; a caller that is turned away is audited."""
    if request.endpoint is None:
        return
    right = current_app.extensions[_ROUTES][request.endpoint]
    if right == PUBLIC:
        return
    g.principal = _authenticate()
    _require(Action(right))


def allowed(action: Action) -> bool:
    """Whether the caller has a further right, on which a part of an answer depends."""
    return decide(caller(), action, None).allowed


def queues() -> frozenset[str] | None:
    """The queues whose tasks the caller sees, None for all."""
    return QUEUES.get(caller().role)


def _require(action: Action) -> None:
    """Fault 403 that names the right, where the caller has it not."""
    decision = decide(caller(), action, None, resource_type(route()))
    if not decision.allowed:
        ports().audit.write([event(caller(), action, "", decision, route=route(), at=ports().clock())])
        challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{action}"'
        more = {"right": action.value}
        raise Fault(403, "forbidden", _lacking(action), headers={"WWW-Authenticate": challenge}, more=more)


def _lacking(action: Action) -> str:
    return f"This needs the right {action}, which you do not have."


def _authenticate() -> Principal:
    """Who calls. Fault 401, the same for every reason; the trail knows the reason."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    reason, name = "no-token", ""
    if scheme.lower() == "bearer" and secret.strip():
        known = ports().tokens.sign_in(secret.strip(), ports().clock())
        if known.principal is not None:
            return known.principal
        reason, name = known.reason, known.name
    denied = AuditEvent(ports().clock(), name, "", SIGN_IN, "", False, reason, route())
    ports().audit.write([denied])
    raise Fault(401, "unauthorized", "", headers={"WWW-Authenticate": CHALLENGE})
