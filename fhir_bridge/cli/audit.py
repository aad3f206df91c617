"""audit verify, audit disclosures: the trail checked, and what was shown of one patient; on either engine."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.gateway.ports import PatientSearch, StoreUnavailable
from fhir_bridge.privacy.audit import Deed, deed
from fhir_bridge.record.clocks import iso
from fhir_bridge.wiring.deeds import operator
from fhir_bridge.wiring.processes import clock
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse

    from fhir_bridge.privacy import AuditEvent
    from fhir_bridge.store.audit import AuditTrail
    from fhir_bridge.wiring.stores import Stores

_AT_A_TIME = 1000


def audit(arguments: argparse.Namespace) -> int:
    """Check the chain of the audit trail, or list what was shown of a patient."""
    settings = load_settings(arguments)
    stores = stores_of(settings)
    if settings.database.url is None and not settings.audit_file.exists():
        raise CommandFailed(f"there is no {settings.audit_file}")
    if arguments.action == "disclosures" and not arguments.patient:
        raise WrongCall("audit disclosures needs a patient: an id, or a record number")
    anchor = _anchor(arguments.since)
    try:
        trail = stores.audit()
        try:
            if arguments.action == "verify":
                return _verify(trail, anchor)
            return _disclosures(trail, stores, arguments)
        finally:
            trail.close()
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error


def _anchor(text: str | None) -> tuple[int, str] | None:
    """``5:HASH``, as `verify` printed it once."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+):([0-9a-f]{64})", text)
    if found is None:
        raise WrongCall("--since is what an earlier audit verify printed as newest: NUMBER:HASH")
    return int(found[1]), found[2]


def _verify(trail: AuditTrail, anchor: tuple[int, str] | None) -> int:
    found = trail.verify(anchor)
    if found.broken is not None:
        print(f"the chain is broken at event {found.broken}: {found.why}")
        return FAILED
    newest = f"{found.events}:{found.newest}" if found.events else "-"
    print(f"{found.events} events, each fits the one before; newest {newest}")
    return GOOD


def _disclosures(trail: AuditTrail, stores: Stores, arguments: argparse.Namespace) -> int:
    """Page by page, oldest first. That the report was made stands in the trail, too."""
    records = _records(stores, arguments.patient)
    told = deed(Deed.REPORT, at=clock(), by=operator(), patient=records[0], note="audit disclosures")
    trail.write([told])
    total, after, left = 0, arguments.after, arguments.limit
    while left > 0 and (page := trail.page(records, after, min(left, _AT_A_TIME))):
        for number, line in page:
            shown = _shown(number, line)
            print(orjson.dumps(shown).decode() if arguments.json else "\t".join(map(str, list(shown.values())[1:])))
            total += line.count if line.is_disclosure else 0
        after, left = page[-1][0], left - len(page)
    print(f"{total} disclosures", file=sys.stderr)
    if left <= 0 and trail.page(records, after, 1):
        print(f"more with --after {after}", file=sys.stderr)
    return GOOD


def _records(stores: Stores, patient: str) -> list[str]:
    """All records of a patient, by the id of one, or by an identifier; the survivor first."""
    queries = stores.queries()
    try:
        row = queries.patient(patient)
        rows = [row] if row else queries.search_patients(PatientSearch(identifier=(None, patient)), None, 100)
        if not rows:
            raise CommandFailed("there is no such patient; give the id, or an identifier's value")
        roots = sorted({one["root"] for one in rows})
        if len(roots) > 1:  # what was shown of one is not told with another's
            raise CommandFailed(f"several patients have that identifier; say which by the id: {' '.join(roots)}")
        return list(queries.members(roots[0]))
    finally:
        queries.close()


def _shown(number: int, line: AuditEvent) -> dict[str, str | int]:
    return {
        "number": number,
        "at": iso(line.at),
        "principal": line.principal,
        "role": line.role,
        "action": line.action,
        "outcome": _outcome(line),
        "reason": line.reason,
        "times": line.count,
        "patient": line.patient,
        "route": line.route,
        "note": line.note,
    }


def _outcome(line: AuditEvent) -> str:
    if line.action == Deed.SENT:
        return "taken" if line.allowed else "not taken"
    return "shown" if line.allowed else "denied"
