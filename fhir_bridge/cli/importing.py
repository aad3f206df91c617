"""import: lists of places and of staff, while the gateway runs; as MFN messages, which enter as others do."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.hl7v2 import er7
from fhir_bridge.cli.exits import GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.feeds.directory_csv import WrongList, messages
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.pipeline import receive
from fhir_bridge.store.journal_socket import JournalUnreachable
from fhir_bridge.wiring.processes import clock
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse

FEED = "import"
"""The feed of what was imported here; the settings may give it a source and an authority."""


def run(arguments: argparse.Namespace) -> int:
    """Append the messages of a CSV file; nothing of it where a line is wrong."""
    try:
        text = Path(arguments.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongCall(f"{arguments.file}: {error}") from error
    now = clock()
    try:
        raws = list(messages(arguments.kind, text, now))
    except WrongList as wrong:
        for problem in wrong.problems:
            print(f"{arguments.file}: {problem}")
        raise CommandFailed(f"{len(wrong.problems)} errors: nothing was imported") from wrong
    drafts = [receive.accepted(raw, er7.peek(raw), feed=FEED, received_at=now) for raw in raws]
    try:
        with closing(stores_of(load_settings(arguments)).appender()) as journal:
            seqs = [journal.append(draft).seq for draft in drafts]
    except JournalUnreachable as error:
        raise CommandFailed("the gateway does not run on this folder: start it with `fhir-bridge serve`") from error
    except StoreUnavailable as error:
        raise CommandFailed(str(error)) from error
    entries = sum(raw.count(b"\rMFE|") for raw in raws)
    print(f"{entries} {arguments.kind} in {len(seqs)} messages, entry {seqs[0]} on", file=sys.stderr)
    return GOOD
