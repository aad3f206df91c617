"""migrate, move: the database's schema, and an installation's way from SQLite into PostgreSQL."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
from rich.console import Console
from rich.progress import Progress

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.privacy.audit import Deed, deed
from fhir_bridge.serving import FolderInUse, hold_folder
from fhir_bridge.store.postgres import move as moving
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.state import NewerSchema
from fhir_bridge.wiring.deeds import operator
from fhir_bridge.wiring.installation import namespace
from fhir_bridge.wiring.processes import clock
from fhir_bridge.wiring.stores import stores_of

if TYPE_CHECKING:
    import argparse

    from fhir_bridge.config import Settings


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the database's schema up to this program's."""
    settings = load_settings(arguments)
    if settings.database.url is None:
        print("SQLite's files need no migration: a gateway that starts makes what is missing", file=sys.stderr)
        return GOOD
    try:
        before, now = schema.bring_up(settings.database.url)
    except (NewerSchema, psycopg.OperationalError) as error:
        raise CommandFailed(_words(error)) from error
    print(f"schema {now}" if before == now else f"schema {before or 'none'} → {now}", file=sys.stderr)
    return GOOD


def move(arguments: argparse.Namespace) -> int:
    """Copy journal, state, audit trail and tokens from SQLite files into the database; 1 where they differ there."""
    settings = load_settings(arguments)
    url = settings.database.url
    if (arguments.source, arguments.to) != ("sqlite", "postgresql"):
        raise WrongCall("an installation moves --from sqlite --to postgresql")
    if url is None:
        raise WrongCall('say where to: [database] engine = "postgresql" and url, in fhir-bridge.toml or by variables')
    for file in (settings.journal_file, settings.state_file):
        if not file.exists():
            raise CommandFailed(f"there is no {file.name} in {settings.var}")
    try:
        hold_folder(settings.var, patience=0)
    except FolderInUse as error:
        raise CommandFailed(f"stop the gateway first: {error}") from error
    try:
        differing = _move(settings, url)
    except (NewerSchema, schema.OlderSchema, moving.NotEmpty, psycopg.OperationalError) as error:
        raise CommandFailed(_words(error)) from error
    if differing:
        print(f"nothing was kept: the digests differ in {', '.join(differing)}", file=sys.stderr)
        return FAILED
    with closing(stores_of(settings).audit()) as trail:
        trail.write([deed(Deed.MOVE, at=clock(), by=operator(), note="sqlite to postgresql")])
    print("moved; the digests of journal and state are equal, and audit trail and tokens the same", file=sys.stderr)
    return GOOD


def _move(settings: Settings, url: str) -> list[str]:
    schema.make_or_check(url)
    ours = str(namespace(settings.var))
    if schema.installation(url, "namespace", lambda: ours) != ours:
        raise moving.NotEmpty("the database belongs to another installation: move into an empty one")
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        files = moving.Files(settings.journal_file, settings.state_file, settings.audit_file, settings.token_file)
        bar = progress.add_task("moving", total=moving.count(files))
        return moving.move(files, url, lambda rows: progress.update(bar, completed=rows))


def _words(error: Exception) -> str:
    """An error's first line: libpq's second one repeats the address."""
    return str(error).partition("\n")[0]
