"""compare: what a folder of mapping tables would change of stored traffic; 1 where anything would."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.progress import Progress

from fhir_bridge import mapping
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.sending import messages
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.pipeline.translate import FeedSettings
from fhir_bridge.record.clocks import instant
from fhir_bridge.wiring.comparing import Comparison, Said, read_stored, replay, stored
from fhir_bridge.wiring.sets import BASE, SITES, SetLibrary, mapping_files
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from fhir_bridge.config import Settings
    from fhir_bridge.mapping.compare import Summary

_LAST = 1000
_FEED = "files"


def compare(arguments: argparse.Namespace) -> int:
    """Replay messages through the tables in force and through a folder's, and tell where what they become differs."""
    folder = Path(arguments.folder)
    if not ((folder / BASE).is_dir() or (folder / SITES).is_dir()):
        raise WrongCall(f"{folder} holds neither {BASE}/ nor {SITES}/")
    if sum(given is not None for given in (arguments.messages, arguments.last, arguments.since)) > 1:
        raise WrongCall("say one of --messages, --last and --since")
    settings = load_settings(arguments)
    try:
        summary = _compared(settings, arguments, mapping_files(folder))
    except mapping.CheckFailed as failed:
        text = "\n".join(str(problem) for problem in failed.problems)
        raise CommandFailed(f"the candidate does not check:\n{text}") from failed
    if arguments.json:
        print(orjson.dumps(summary.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(summary)
    print(f"{summary.differing} of {summary.messages} messages differ", file=sys.stderr)
    return FAILED if summary.differing else GOOD


def _compared(settings: Settings, arguments: argparse.Namespace, candidate: Mapping[str, str]) -> Summary:
    console = Console(stderr=True)
    with (
        TemporaryDirectory() as beside,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        comparison, said, total = _what(settings, arguments, candidate, Path(beside))
        bar = progress.add_task("comparing", total=total)
        return replay(comparison, said, lambda n: progress.advance(bar, n), arguments.jobs)


def _what(
    settings: Settings, arguments: argparse.Namespace, candidate: Mapping[str, str], cache: Path
) -> tuple[Comparison, Iterator[Said], int | None]:
    """The two sets and the messages: those of an installation, else the tables that come along and a folder's."""
    stores = stores_of(settings)
    if not stores.there():
        if arguments.messages is None:
            raise CommandFailed(f"no gateway has run on {settings.var}: say --messages FOLDER")
        old, feeds, namespace = mapping_files(None), {}, mapping.PUBLIC_NAMESPACE
    else:
        library = SetLibrary(settings.var, stores.namespace())
        library.restore(stores.queries().activations(), stores.reader())
        old, feeds = dict(library.mapping_files), dict(library.current.feeds) if library.current else {}
        namespace = stores.namespace()
    if arguments.messages is not None:
        feeds = {_FEED: _of_files(arguments, candidate)}
        said, total = _files(Path(arguments.messages)), None
    else:
        if arguments.site:
            feeds = {name: replace(feed, site=arguments.site) for name, feed in feeds.items()}
        reader = stores.reader()
        since = _instant(arguments.since) if arguments.since else None
        last = None if since is not None else arguments.last or _LAST
        ranges = stored(reader, last=last, since=since)
        said, total = read_stored(reader, ranges), sum(head - after for after, head in ranges)
    return Comparison(old, candidate, feeds, namespace, cache, arguments.show_values), said, total


def _of_files(arguments: argparse.Namespace, candidate: Mapping[str, str]) -> FeedSettings:
    """How files are read: as the overlay says that is asked for."""
    declared = mapping.customs({name: text.encode() for name, text in candidate.items()}, arguments.site)
    return FeedSettings("ehr", declared.zone or "UTC", declared.charset or None, declared.authority, arguments.site)


def _files(folder: Path) -> Iterator[Said]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in {".hl7", ".txt", ".mllp"})
    if not found:
        raise CommandFailed(f"{folder} holds no .hl7, .txt or .mllp file")
    for path in found:
        for number, raw in enumerate(messages(str(path)), 1):
            yield Said(f"{path.name}#{number}", raw, _FEED)


def _instant(text: str) -> int:
    try:
        datetime.fromisoformat(text)
        return instant(text)
    except ValueError as error:
        raise WrongCall(f"'{text}' is no time, like 2026-03-09 or 2026-03-09T07:15:00-04:00") from error


def _print(summary: Summary) -> None:
    for row in summary.as_json()["elements"]:
        print(f"{row['element']}: {row['added']} added, {row['removed']} removed, {row['changed']} changed")
        for one in row["examples"]:
            was, will = one["old"] or "(nothing)", one["new"] or "(nothing)"
            print(f"    {one['kind']:8} {one['message']}: {was}  ->  {will}")
