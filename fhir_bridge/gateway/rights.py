"""Who calls, and whether they have the right that their route asks for.

Which route asks for which right is routes.py's table; the policy itself is privacy/policy.py. Whoever is turned away
leaves a line in the audit trail, and hears nothing of whose data it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app, g, request

from fhir_bridge.gateway import trail
from fhir_bridge.gateway.faults import Fault
from fhir_bridge.gateway.ports import SignIn, StoreUnavailable
from fhir_bridge.gateway.routes import PUBLIC, declared, resource_type
from fhir_bridge.privacy import Action, AuditEvent, decide, event
from fhir_bridge.privacy.audit import Deed
from fhir_bridge.privacy.policy import QUEUES

if TYPE_CHECKING:
    from flask import Flask

    from fhir_bridge.gateway.ports import Ports
    from fhir_bridge.privacy import Principal

EXTENSION = trail.EXTENSION
SIGN_IN = Deed.SIGN_IN
"""The action of an audit event about who calls."""
CLIENT_HEADER = "X-Fhir-Bridge-Client"
"""What the TLS front says of a client's certificate; it lets no other such header pass."""
CHALLENGE = 'Bearer realm="fhir-bridge"'
READING = (".list", ".read", ".raw")
"""How the rights end that change nothing; before anything else it is on disk who is there."""
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
    if not right.endswith(READING):
        trail.settle()


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
        trail.record(event(caller(), action, "", decision, route=route(), at=ports().clock()))
        challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{action}"'
        more = {"right": action.value}
        raise Fault(403, "forbidden", _lacking(action), headers={"WWW-Authenticate": challenge}, more=more)


def _lacking(action: Action) -> str:
    return f"This needs the right {action}, which you do not have."


def somebody() -> bool:
    """Whether whoever sent this request is known here; nothing is written, since the request is judged later."""
    try:
        found = _by_token() or _by_certificate()
    except StoreUnavailable:
        return False
    return found is not None and found.principal is not None


def _authenticate() -> Principal:
    """Who calls: by token, else by certificate. Fault 401, the same for every reason; the trail knows the reason."""
    known = _by_token() or _by_certificate() or SignIn(None, "no-token")
    who = known.principal
    if who is not None:
        trail.record(AuditEvent(ports().clock(), who.id, who.role, SIGN_IN, "", True, "signed-in", route()))
        return who
    trail.record(AuditEvent(ports().clock(), known.name, "", SIGN_IN, "", False, known.reason, route()))
    raise Fault(401, "unauthorized", "", headers={"WWW-Authenticate": CHALLENGE})


def _by_token() -> SignIn | None:
    """Who the bearer token is; None where there is no Authorization at all: only then a certificate counts."""
    given = request.headers.get("Authorization")
    if given is None:
        return None
    scheme, _, secret = given.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return SignIn(None, "no-token")
    return ports().tokens.sign_in(secret.strip(), ports().clock())


def _by_certificate() -> SignIn | None:
    word = request.headers.get(CLIENT_HEADER)
    return None if word is None else ports().certificates.sign_in(word)
