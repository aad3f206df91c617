"""The WSGI entry for a server: `fhir_bridge.wsgi:application` is a factory. Settings come from file and environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge import config
from fhir_bridge.gateway import alarms
from fhir_bridge.web import create_app
from fhir_bridge.wiring.gateway import gateway_ports
from fhir_bridge.wiring.logs import configure_logs

if TYPE_CHECKING:
    from flask import Flask


def application() -> Flask:
    """Make the application of this process."""
    configure_logs()
    ports = gateway_ports(config.load())
    alarms.watch(ports)
    return create_app(ports)
