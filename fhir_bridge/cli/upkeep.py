"""token, doctor, bench: upkeep."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.serving import load_settings
from fhir_bridge.record.clocks import iso
from fhir_bridge.wiring.processes import clock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from fhir_bridge.config import Settings
    from fhir_bridge.store.audit import AuditTrail
    from fhir_bridge.store.tokens import SqlTokens, Token

_DAY = 86_400_000_000
_SPACE = 1 << 30
"""Free bytes below which doctor complains."""


def token(arguments: argparse.Namespace) -> int:
    """Make, list or revoke API tokens. A secret is shown once, when it is made."""
    from fhir_bridge.gateway.ports import StoreUnavailable
    from fhir_bridge.store.tokens import TokenRefused
    from fhir_bridge.wiring.stores import stores_of

    stores = stores_of(load_settings(arguments))
    if arguments.action != "list" and not arguments.name:
        raise WrongCall(f"token {arguments.action} needs a name")
    try:
        with closing(stores.tokens()) as tokens:
            if arguments.action == "list":
                for known in tokens.tokens():
                    print("\t".join((known.id, known.role, known.feed or "-", _stands(known), known.scopes or "-")))
                return GOOD
            with closing(stores.audit()) as trail:
                _change_token(tokens, trail, arguments)
    except (TokenRefused, StoreUnavailable) as refusal:
        raise CommandFailed(str(refusal)) from refusal
    return GOOD


def _change_token(tokens: SqlTokens, trail: AuditTrail, arguments: argparse.Namespace) -> None:
    """Make or revoke one; the audit trail is told before, and once more where that was refused."""
    from fhir_bridge.privacy import Role
    from fhir_bridge.privacy.audit import Deed, deed
    from fhir_bridge.store.tokens import TokenRefused
    from fhir_bridge.wiring.deeds import operator

    name, role, scopes = arguments.name, Role(arguments.role), arguments.scopes
    revoking = arguments.action == "revoke"
    note = name if revoking else " ".join(filter(None, (name, f"role={role}", scopes and f"scopes={scopes}")))
    line = deed(Deed.TOKEN_REVOKE if revoking else Deed.TOKEN_CREATE, at=clock(), by=operator(), note=note)
    trail.write([line])
    refused = replace(line, allowed=False, reason="refused")
    if revoking:
        if not tokens.revoke(name, at=clock()):
            trail.write([refused])
            raise CommandFailed(f"there is no token '{name}' in force")
        return
    secret = secrets.token_urlsafe(32)
    expires_at = None if arguments.days is None else clock() + int(arguments.days * _DAY)
    try:
        tokens.add(name, role, secret, at=clock(), feed=arguments.feed, expires_at=expires_at, scopes=scopes)
    except TokenRefused:
        trail.write([refused])
        raise
    print(secret)


def _stands(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is None:
        return "in force"
    return "expired" if token.expires_at <= clock() else f"until {iso(token.expires_at)}"


def doctor(arguments: argparse.Namespace) -> int:
    """Check settings, folder, ports, mappings, databases and the EHR; 1 where something would not work."""
    settings = load_settings(arguments)
    findings = list(_findings(settings))
    if arguments.json:
        report = {
            "settings": [{"path": s.path, "value": s.value, "source": s.source} for s in settings.report],
            "checks": [{"check": name, "good": good, "says": text} for name, good, text in findings],
        }
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        for setting in settings.report:
            print(f"{setting.path} = {setting.value}    ({setting.source})")
        print()
        for name, good, text in findings:
            print(f"{'good' if good else 'BAD '}  {name}: {text}")
    return GOOD if all(good for _, good, _ in findings) else FAILED


def _findings(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    """(check, good, what it says)."""
    folder = settings.var
    running = (folder / "lock").exists() and _answers(settings.http.host, settings.http.port)
    free = shutil.disk_usage(folder if folder.exists() else Path.cwd()).free
    yield "disk", free > _SPACE, f"{free >> 30} GiB free at {folder}"
    yield "gateway", True, "runs" if running else "does not run"
    if not running:
        addresses = [("http", settings.http.host, settings.http.port)]
        addresses += [(f"feed {a.feed.name}", a.host, a.port) for a in settings.mllp]
        for name, host, port in addresses:
            taken = _answers(host, port)
            yield f"port of {name}", not taken, f"{host}:{port} is {'taken by another program' if taken else 'free'}"
    yield _mappings(settings)
    if settings.database.url is not None:
        yield _postgres(settings.database.url)
    else:
        yield from (_database(file) for file in (settings.journal_file, settings.state_file) if file.exists())
    for destination in settings.destinations:
        yield _destination(destination.name, destination.base_url, destination.token_file)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _mappings(settings: Settings) -> tuple[str, bool, str]:
    from fhir_bridge.cli.translating import check_folder
    from fhir_bridge.wiring.activation import errors_of
    from fhir_bridge.wiring.sets import SETTINGS, mapping_files

    errors = check_folder(settings.mapping_folder)
    errors += errors_of(SETTINGS, {}, settings, mapping_files(settings.mapping_folder))
    return "mappings", not errors, f"{len(errors)} errors, the first: {errors[0]}" if errors else "check"


def _database(file: Path) -> tuple[str, bool, str]:
    try:
        database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        says = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        database.close()
    except sqlite3.Error as error:
        return file.name, False, type(error).__name__
    return file.name, says == "ok", str(says)


def _postgres(url: str) -> tuple[str, bool, str]:
    import psycopg

    from fhir_bridge.store.postgres import schema
    from fhir_bridge.store.postgres.connection import connect

    try:
        with connect(url, application="fhir-bridge doctor", read_only=True) as connection:
            found = schema.revision(connection)
    except psycopg.Error as error:
        return "PostgreSQL", False, f"does not answer ({type(error).__name__})"
    if found is None:
        return "PostgreSQL", True, "answers; the gateway will make its tables"
    return "PostgreSQL", found == schema.HEAD, f"schema {found}, this fhir-bridge needs {schema.HEAD}"


def _destination(name: str, url: str, token_file: Path | None) -> tuple[str, bool, str]:
    """Whether an EHR answers GET [base]/metadata. Nothing is written."""
    import requests

    if token_file is not None and not token_file.is_file():
        return f"EHR {name}", False, f"its token file {token_file} is not there"
    try:
        response = requests.get(
            f"{url}/metadata", timeout=5, allow_redirects=False, headers={"Accept": "application/fhir+json"}
        )
    except requests.RequestException as error:
        return f"EHR {name}", False, f"{url} does not answer ({type(error).__name__})"
    return f"EHR {name}", response.ok, f"{url}/metadata answers {response.status_code}"


def bench(arguments: argparse.Namespace) -> int:
    """Run a benchmark of bench/, which comes with the source and not with the package."""
    root = Path(__file__).parents[2]
    if importlib.util.find_spec("bench") is None and (root / "bench" / "__init__.py").is_file():
        sys.path.insert(0, str(root))
    if importlib.util.find_spec("bench") is None:
        raise CommandFailed("benchmarks come with the source: run this from a checkout")
    from bench import BENCHES, run

    if arguments.name != "all" and arguments.name not in BENCHES:
        raise WrongCall(f"there is no benchmark '{arguments.name}'; there are: {', '.join(sorted(BENCHES))}, all")
    return int(run(arguments.name, arguments.rest))
