"""park, rebuild, state: the journal's tools. Parked entries are retried and dropped by entries, like everything."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.progress import Progress

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.pipeline.as_of import AsOf
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.privacy.audit import Deed, deed
from fhir_bridge.store import digest
from fhir_bridge.store.journal_socket import JournalUnreachable
from fhir_bridge.wiring.deeds import operator
from fhir_bridge.wiring.processes import clock, fold_into
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.ports import Entry
    from fhir_bridge.privacy import AuditEvent
    from fhir_bridge.wiring.stores import Stores

_LISTED = ("seq", "feed", "code", "location")
OUTCOME_SECONDS = 5.0
"""How long a command waits for what became of its entries."""
_ALL = 10_000
"""More parked entries than that are looked at in several goes."""


def park(arguments: argparse.Namespace) -> int:
    """List, retry or drop parked entries."""
    settings = load_settings(arguments)
    rows = _parked(settings)
    if arguments.action == "list":
        for row in rows:
            shown = {name: row[name] for name in _LISTED}
            print(orjson.dumps(shown).decode() if arguments.json else "\t".join(str(v or "-") for v in shown.values()))
        print(f"{len(rows)} parked", file=sys.stderr)
        return GOOD
    if arguments.action == "drop" and not arguments.reason:
        raise WrongCall("say why they are dropped: --reason TEXT")
    if bool(arguments.seqs) == arguments.all:
        raise WrongCall(f"say which entries to {arguments.action}: their numbers, or --all")
    chosen = arguments.seqs or [row["seq"] for row in rows]
    unknown = sorted(set(chosen) - {row["seq"] for row in rows})
    if unknown:
        raise CommandFailed(f"not parked: {', '.join(map(str, unknown))}")
    stores, drop = stores_of(settings), arguments.reason if arguments.action == "drop" else None
    reader = stores.reader()
    try:
        with closing(stores.appender()) as journal, closing(stores.audit()) as trail:
            trail.write([_park_event(row, drop) for row in rows if row["seq"] in set(chosen)])
            asked = {seq: journal.append(_retry(seq, reader.entry(seq), drop)).seq for seq in chosen}
    except JournalUnreachable as error:
        raise CommandFailed("the gateway does not run on this folder: start it with `fhir-bridge serve`") from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error
    return _tell(stores, asked, "dropped" if drop else "retried")


def _tell(stores: Stores, asked: Mapping[int, int], done: str) -> int:
    """What became of each, as far as it is known soon; failed where one is parked still."""
    end = time.monotonic() + OUTCOME_SECONDS
    refused, waiting = 0, 0
    with closing(stores.queries()) as queries:
        for seq, entry in asked.items():
            row = queries.outcome_within(entry, max(0.0, end - time.monotonic()))
            if row is None:
                waiting += 1
            elif row["outcome"] != Outcome.APPLIED:
                refused += 1
                print(f"{seq} is parked still: {row['code']} {row['location'] or ''}".rstrip(), file=sys.stderr)
    print(f"{len(asked) - refused - waiting} {done}", file=sys.stderr)
    if waiting:
        print(f"{waiting} will be as soon as the worker comes to them", file=sys.stderr)
    return FAILED if refused else GOOD


def _retry(seq: int, cited: Entry | None, drop: str | None) -> Draft:
    """The entry that cites a parked one, in its partition: it is the same patient's."""
    now, partition = clock(), cited.partition if cited else 0
    body: dict[str, Any] = {"seq": seq, "drop": drop}
    return Draft(
        kind=Kind.RETRY,
        feed="park",
        received_at=now,
        partition=partition,
        key=f"retry:{seq}:{now}",
        type="park.drop" if drop else "park.retry",
        body=orjson.dumps(body),
    )


def _park_event(row: Mapping[str, Any], drop: str | None) -> AuditEvent:
    kind, note = (Deed.PARK_RETRY, "") if drop is None else (Deed.PARK_DROP, f": {drop}")
    patient, words = row["patient"] or "", f"entry {row['seq']}{note}"
    return deed(kind, at=clock(), by=operator(), patient=patient, note=words)


def _parked(settings: Settings) -> list[dict[str, Any]]:
    queries = stores_of(settings).queries()
    try:
        seqs = sorted(queries.parked(None, _ALL))
        found = queries.outcomes(seqs)
    except StoreUnavailable as error:
        raise CommandFailed(f"{error}: has the gateway run there?") from error
    finally:
        queries.close()
    return [{name: found[seq][name] for name in (*_LISTED, "patient")} for seq in seqs]


def rebuild(arguments: argparse.Namespace) -> int:
    """Fold the journal from its beginning into a new state file; 1 where it differs from the live one."""
    settings = load_settings(arguments)
    stores = stores_of(settings)
    if not stores.there():
        raise CommandFailed(f"there is no journal in {settings.var}")
    if arguments.replace:
        _refuse_at_work(settings)
    fresh = settings.state_file.with_name("state.rebuilt.db")
    for leftover in settings.var.glob("state.rebuilt.db*"):
        leftover.unlink()
    cursors, before = _live(stores)
    journal = AsOf(stores.reader(), cursors) if cursors else stores.reader()
    until = journal.head()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("folding", total=until)
        fold_into(settings, fresh, journal, until, lambda seq: progress.update(bar, completed=seq))
    rebuilt = digest.digests(fresh)
    differing = [table for table, value in rebuilt.items() if cursors and before[table] != value]
    print(digest.digest(fresh))
    if arguments.replace:
        with closing(stores.audit()) as trail:
            trail.write([deed(Deed.REPLACE, at=clock(), by=operator(), note=f"state up to entry {until}")])
        _put_in_place(settings, fresh)
    if differing and not arguments.replace:
        print(f"differs from the live state in: {', '.join(differing)}; the new one is {fresh}", file=sys.stderr)
        return FAILED
    for file in settings.var.glob("state.rebuilt.db*"):
        file.unlink()
    print("equal to the live state" if cursors and not differing else "rebuilt", file=sys.stderr)
    return GOOD


def _live(stores: Stores) -> tuple[dict[int, int], dict[str, str]]:
    """How far the live state is applied, and its digests just then; nothing where there is none to compare with."""
    try:
        return stores.digests_as_of()
    except sqlite3.DatabaseError:  # missing, or damaged
        return {}, {}


def _refuse_at_work(settings: Settings) -> None:
    if (url := settings.database.url) is not None:
        from fhir_bridge.store.postgres.replace import AtWork, refuse_at_work

        try:
            refuse_at_work(url)
        except AtWork as error:
            raise CommandFailed(str(error)) from error


def _put_in_place(settings: Settings, fresh: Path) -> None:
    if (url := settings.database.url) is None:
        _replace(settings, fresh)
        return
    from fhir_bridge.store.postgres.replace import AtWork, NotEqual, replace_state

    try:
        replace_state(fresh, url)
    except (AtWork, NotEqual) as error:
        raise CommandFailed(str(error)) from error


def _replace(settings: Settings, fresh: Path) -> None:
    from fhir_bridge.serving import FolderInUse, hold_folder

    try:
        hold_folder(settings.var, patience=0)
    except FolderInUse as error:
        raise CommandFailed(f"stop the gateway first: {error}") from error
    for suffix in ("-wal", "-shm"):
        settings.state_file.with_name(settings.state_file.name + suffix).unlink(missing_ok=True)
    fresh.replace(settings.state_file)


def state(arguments: argparse.Namespace) -> int:
    """Print the digest of the folded state (FOLD 12)."""
    settings = load_settings(arguments)
    stores = stores_of(settings)
    if not stores.there():
        raise CommandFailed(f"there is no state in {settings.var}")
    digests = stores.digests()
    if arguments.tables:
        for table, value in digests.items():
            print(f"{value}  {table}")
    print(digest.combined(digests))
    return GOOD
