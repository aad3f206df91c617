"""The entries for a server, both factories: `application` is WSGI, `behind_porch` the same as ASGI, read in time.

Settings come from file and environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.porch import Limits, Porch
from fhir_bridge import config
from fhir_bridge.gateway import alarms, rights
from fhir_bridge.web import LARGEST_BODY, create_app
from fhir_bridge.wiring.gateway import gateway_ports
from fhir_bridge.wiring.logs import configure_logs
from fhir_bridge.wiring.orphans import go_with_parent

if TYPE_CHECKING:
    from flask import Flask


HEALTH = ("/health/live", "/health/ready")
_ER7 = "/hl7v2"
_CLIENT = "HTTP_" + rights.CLIENT_HEADER.upper().replace("-", "_")


def application() -> Flask:
    """Make the application of this process."""
    configure_logs()
    ports = gateway_ports(config.load())
    alarms.watch(ports)
    return create_app(ports)


def behind_porch() -> Porch:
    """The application behind a porch: no slow sender holds a thread, and health has threads of its own."""
    go_with_parent()
    made = application()
    largest_message = made.extensions[rights.EXTENSION].settings.largest_message

    def largest(path: str) -> int:
        return largest_message if path == _ER7 else LARGEST_BODY

    def knows(environ: dict[str, Any]) -> bool:
        with made.request_context(environ):
            return rights.somebody()

    return Porch(made.wsgi_app, Limits(largest), _name, knows, HEALTH)


def _name(environ: dict[str, Any]) -> str:
    """The token, or what the TLS front says of a certificate: by that callers are told apart, before they are known."""
    name: str = environ.get("HTTP_AUTHORIZATION") or environ.get(_CLIENT, "")
    return name
