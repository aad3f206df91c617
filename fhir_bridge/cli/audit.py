"""audit verify, audit disclosures: the trail checked, and what was shown of one patient."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    import argparse

    from fhir_bridge.config import Settings
    from fhir_bridge.privacy import AuditEvent


def audit(arguments: argparse.Namespace) -> int:
    """Check the chain of the audit trail, or list what was shown of a patient."""
    settings = load_settings(arguments)
    if not settings.audit_file.exists():
        raise CommandFailed(f"there is no {settings.audit_file}")
    if arguments.action == "verify":
        return _verify(settings)
    if not arguments.patient:
        raise WrongCall("audit disclosures needs a patient: an id, or a record number")
    return _disclosures(settings, arguments.patient, as_json=arguments.json)


def _verify(settings: Settings) -> int:
    from fhir_bridge.store.audit import verify

    database = sqlite3.connect(f"{settings.audit_file.absolute().as_uri()}?mode=ro", uri=True)
    try:
        events, newest, broken = verify(database)
    except sqlite3.Error as error:
        raise CommandFailed(f"audit.db cannot be checked: {type(error).__name__}") from error
    finally:
        database.close()
    if broken is not None:
        print(f"the chain is broken at event {broken}: it was changed, or one before it was taken out")
        return FAILED
    print(f"{events} events, each fits the one before; newest {newest or '-'}")
    return GOOD


def _disclosures(settings: Settings, patient: str, *, as_json: bool) -> int:
    from fhir_bridge.store.audit import SqliteAudit

    trail = SqliteAudit(settings.audit_file)
    try:
        found = [line for one in _records(settings, patient) for line in trail.read(one, limit=1_000_000)]
    finally:
        trail.close()
    for line in sorted(found, key=lambda line: line.at):
        print(orjson.dumps(_shown(line)).decode() if as_json else "\t".join(map(str, _shown(line).values())))
    print(f"{sum(line.count for line in found if line.allowed)} disclosures", file=sys.stderr)
    return GOOD


def _records(settings: Settings, patient: str) -> list[str]:
    """All records of a patient, by the id of one, or by an identifier."""
    from fhir_bridge.gateway.ports import PatientSearch, StoreUnavailable
    from fhir_bridge.store.queries import SqliteQueries

    queries = SqliteQueries(settings.state_file)
    try:
        row = queries.patient(patient)
        rows = [row] if row else queries.search_patients(PatientSearch(identifier=(None, patient)), None, 100)
        if not rows:
            raise CommandFailed("there is no such patient; give the id, or an identifier's value")
        return [record for root in sorted({one["root"] for one in rows}) for record in queries.members(root)]
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error
    finally:
        queries.close()


def _shown(line: AuditEvent) -> dict[str, str | int]:
    return {
        "at": iso(line.at),
        "principal": line.principal,
        "role": line.role,
        "action": line.action,
        "outcome": "shown" if line.allowed else "denied",
        "reason": line.reason,
        "times": line.count,
        "patient": line.patient,
        "note": line.note,
    }
