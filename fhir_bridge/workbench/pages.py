"""Pages for people: for now one, `/`, that shows whether everything that came in was dealt with. No PHI, no script.

It shows the same tally as /api/status. What a page may load is said by a strict Content-Security-Policy.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, render_template

from fhir_bridge.gateway import tally
from fhir_bridge.gateway.rights import ports
from fhir_bridge.record.clocks import iso

blueprint = Blueprint("workbench", __name__, template_folder="templates")

STYLE = Path(__file__).with_name("static") / "workbench.css"

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
LINKS = (
    ("/docs", "API reference"),
    ("/openapi.json", "OpenAPI description"),
    ("/fhir/metadata", "FHIR capability statement"),
    ("/metrics", "Metrics"),
    ("/health/ready", "Readiness"),
)


@blueprint.get("/")
def status() -> Response:
    """The status page."""
    numbers = tally.take(ports())
    page = render_template(
        "status.html",
        numbers=numbers,
        total=numbers.total,
        outcomes=("applied", "duplicate", "ignored", "parked", "refused"),
        sets=ports().queries.active_sets(),
        mapping=ports().mapping_status(),
        version=ports().settings.version,
        now=iso(ports().clock() // tally.SECOND * tally.SECOND),
        links=LINKS,
    )
    return html(page)


@blueprint.get("/assets/workbench.css")
def style() -> Response:
    """The pages' style sheet."""
    response = Response(STYLE.read_bytes(), content_type="text/css; charset=utf-8")
    response.headers["Cache-Control"] = "max-age=300"
    return response


def html(page: str) -> Response:
    """A page with its policy."""
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response
