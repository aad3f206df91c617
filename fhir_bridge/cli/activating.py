"""mapping: tables put in force, gone back to, and applied to the past, while the gateway runs (FOLD 11-13)."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.progress import Progress

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.cli.translating import check_mapping
from fhir_bridge.gateway.ports import PatientSearch, StoreUnavailable
from fhir_bridge.record.clocks import iso
from fhir_bridge.store.journal_socket import JournalUnreachable
from fhir_bridge.wiring.activation import by_hand, digest_of, errors_of, history, refold_draft
from fhir_bridge.wiring.deeds import activation_event, operator
from fhir_bridge.wiring.processes import clock
from fhir_bridge.wiring.sets import BASE, MAPPING, SITES, mapping_files
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.ports import Draft
    from fhir_bridge.wiring.activation import Activation

WAIT_SECONDS = 120
_REFOLDED = 20
"""Patients of one refold entry: other patients' entries wait while it is applied."""


def mapping(arguments: argparse.Namespace) -> int:
    """Run one of its words."""
    return _WORDS[arguments.action](load_settings(arguments), arguments)


def _activate(settings: Settings, arguments: argparse.Namespace) -> int:
    """Put the tables of a folder in force; 1 and nothing changed where they do not check."""
    folder = Path(arguments.target or "")
    if not arguments.target or not ((folder / BASE).is_dir() or (folder / SITES).is_dir()):
        raise WrongCall(f"mapping activate needs a folder that holds {BASE}/ or {SITES}/")
    problems = check_mapping(folder)
    files = mapping_files(folder)
    problems = problems or errors_of(MAPPING, files, settings, files)
    problems += [f"{folder}: no overlay {site}, which a feed's settings name" for site in _missing(settings, files)]
    for problem in problems:
        print(problem)
    if problems:
        raise CommandFailed(f"{len(problems)} errors: nothing was changed")
    return _put(settings, files)


def _missing(settings: Settings, files: Mapping[str, str]) -> list[str]:
    """The overlays that feeds name and a set does not have."""
    from fhir_bridge import mapping as tables

    known = set(tables.sites(dict.fromkeys(files, b"")))
    return sorted({feed.site for feed in settings.feeds.values() if feed.site} - known)


def _put(settings: Settings, files: Mapping[str, str]) -> int:
    active = _queries_of(settings).activations()
    digest = digest_of(files)
    if active.get(MAPPING, ("", 0))[0] == digest:
        print(f"{digest[:12]} is in force already", file=sys.stderr)
        return GOOD
    (seq,) = _append(settings, [by_hand(settings, files, active, clock())])
    outcome = _ended(settings, seq)
    if outcome["outcome"] != "applied":
        raise CommandFailed(f"entry {seq} was {outcome['outcome']}: {outcome['code']} at {outcome['location']}")
    print(f"{digest[:12]} is in force from entry {seq} on; the past stays as it was: see `mapping refold`")
    return GOOD


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    """The tables that are and were in force, newest first."""
    for number, one in enumerate(_history(settings)):
        if arguments.json:
            row = {"seq": one.seq, "at": iso(one.at), "hash": one.hash, "by": one.by, "in_force": number == 0}
            print(orjson.dumps(row).decode())
        else:
            print("\t".join((one.hash[:12], iso(one.at), str(one.seq), one.by, "in force" if number == 0 else "")))
    return GOOD


def _rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    """Put the tables before the present ones in force again, or those with a hash."""
    known, wanted = list(_history(settings)), arguments.to
    for one in known[1:]:
        if one.hash.startswith(wanted) if wanted else one.hash != known[0].hash:
            if missing := _missing(settings, one.files):
                why = f"{one.hash[:12]} has no overlay {', '.join(missing)}, which a feed's settings name"
                raise CommandFailed(f"{why}: nothing was changed")
            return _put(settings, one.files)
    raise CommandFailed(f"no set {wanted} was in force before" if wanted else "there is no set to go back to")


def _refold(settings: Settings, arguments: argparse.Namespace) -> int:
    """Fold patients again under the tables in force; each with all that is linked."""
    if bool(arguments.patient) == arguments.all:
        raise WrongCall("say whose record: --patient ID …, or --all")
    ids = [_patient(settings, name) for name in arguments.patient] if arguments.patient else list(_everyone(settings))
    digest = _queries_of(settings).activations().get(MAPPING, ("", 0))[0]
    now, failed = clock(), 0
    drafts = [refold_draft(ids[i : i + _REFOLDED], digest, now) for i in range(0, len(ids), _REFOLDED)]
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("refolding", total=len(ids))
        for draft in drafts:
            (seq,) = _append(settings, [draft])
            outcome = _ended(settings, seq)
            progress.advance(bar, _REFOLDED)
            if outcome["outcome"] != "applied":
                failed += 1
                print(f"entry {seq}: {outcome['outcome']}, {outcome['code']} at {outcome['location']}", file=sys.stderr)
    print(f"{len(ids)} patients, {len(drafts) - failed} of {len(drafts)} entries applied", file=sys.stderr)
    return FAILED if failed else GOOD


def _patient(settings: Settings, name: str) -> str:
    """A patient's id, from it or from a record number."""
    queries = _queries_of(settings)
    if queries.patient(name):
        return name
    found = queries.search_patients(PatientSearch(identifier=(None, name), tests=True), None, 10)
    if len(found) > 1:
        ids = " ".join(str(row["id"]) for row in found)
        raise CommandFailed(f"several patients have that number; say which by the id: {ids}")
    if not found:
        raise CommandFailed("no patient has that id or number")
    return str(found[0]["id"])


def _everyone(settings: Settings) -> Iterator[str]:
    after: str | None = None
    queries = _queries_of(settings)
    while rows := queries.search_patients(PatientSearch(tests=True), after, 500):
        yield from (str(row["id"]) for row in rows if row["id"] == row["root"])
        after = str(rows[-1]["id"])


def _history(settings: Settings) -> Iterator[Activation]:
    return history(stores_of(settings).reader(), _queries_of(settings).activations())


def _queries_of(settings: Settings) -> Any:
    stores = stores_of(settings)
    if not stores.there():
        raise CommandFailed(f"no gateway has run on {settings.var}")
    return stores.queries()


def _append(settings: Settings, drafts: list[Draft]) -> list[int]:
    stores = stores_of(settings)
    try:
        with closing(stores.appender()) as journal, closing(stores.audit()) as trail:
            trail.write([activation_event(draft, operator(), clock()) for draft in drafts])
            return [journal.append(draft).seq for draft in drafts]
    except JournalUnreachable as error:
        raise CommandFailed("the gateway does not run on this folder: start it with `fhir-bridge serve`") from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error


def _ended(settings: Settings, seq: int) -> Mapping[str, Any]:
    with closing(_queries_of(settings)) as queries:
        outcome: Mapping[str, Any] | None = queries.outcome_within(seq, WAIT_SECONDS)
    if outcome is None:
        raise CommandFailed(f"entry {seq} is stored and waits for its turn; see /api/outcomes/{seq}")
    return outcome


_WORDS = {"activate": _activate, "list": _list, "rollback": _rollback, "refold": _refold}
