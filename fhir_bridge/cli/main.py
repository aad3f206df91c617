"""The parser and the dispatch. Each command is a function of its arguments that returns the exit code.

Commands are imported when they are called, so that `fhir-bridge send` does not pay for Flask.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from importlib.metadata import version

from fhir_bridge.cli.exits import FAILED, GOOD, WRONG, CommandFailed, WrongCall
from fhir_bridge.gateway.ports import StoreUnavailable
from fhir_bridge.wiring.logs import configure_logs


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    os.umask(0o077)  # what is written holds patients' data: nobody else reads it
    words = sys.argv[1:] if argv is None else argv
    if words[:1] in (["_process"], ["_sandbox"]):
        from fhir_bridge.cli import serving

        return serving.child(words)
    configure_logs(logging.WARNING)
    parser = _parser()
    arguments = parser.parse_args(words)
    module, name = arguments.run.split(":")
    try:
        command = getattr(importlib.import_module(f"fhir_bridge.cli.{module}"), name)
        return int(command(arguments))
    except (CommandFailed, StoreUnavailable) as error:
        print(f"fhir-bridge: {error}", file=sys.stderr)
        return FAILED
    except WrongCall as error:
        print(f"fhir-bridge: {error}", file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - the reader has gone; exit quietly
        return GOOD
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "fhir-bridge", description="A gateway from a hospital's EHR feeds to its Patient Relations Associates."
    )
    parser.add_argument("--version", action="version", version=version("fhir-bridge"))
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_serving, _translating, _mapping, _importing, _journal, _upkeep):
        add(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _places(parser: argparse.ArgumentParser, var: str | None = None) -> None:
    parser.add_argument(
        "--var", metavar="DIR", default=var, help=f"the folder with all data (default: ./{var or 'var'})"
    )
    parser.add_argument("--http", metavar="HOST:PORT", help="where to serve HTTP (default: 127.0.0.1:8080)")
    parser.add_argument("--mllp", metavar="HOST:PORT", help="where to listen for MLLP (default: 127.0.0.1:2575)")


def _site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--site", metavar="NAME", default="", help="the overlay to lay over the tables")


def _serving(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = _command(commands, "serve", "serving:serve", "Run the gateway: HTTP, MLLP, worker, timers and deliveries.")
    _places(serve)
    demo = _command(
        commands, "demo", "serving:demo", "Run the gateway beside a sandbox EHR that tells a hospital's day."
    )
    _places(demo, "var/demo")
    demo.add_argument("--ehr", metavar="HOST:PORT", help="where the sandbox EHR takes write-backs (127.0.0.1:8090)")
    demo.add_argument("--patients", type=int, default=300, help="how many patients the day has (default: 300)")
    demo.add_argument("--seconds", type=float, default=60.0, help="in how many seconds it is told (default: 60)")
    demo.add_argument("--seed", type=int, default=7, help="which day it is (default: 7)")
    send = _command(commands, "send", "sending:send", "Send HL7 v2 files over MLLP and show what was answered.")
    send.add_argument("host")
    send.add_argument("port", type=int)
    send.add_argument("files", nargs="+", metavar="FILE", help="messages, MLLP frames or batches; - is standard input")
    send.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for each answer (default: 10)")
    send.add_argument("--json", action="store_true", help="one JSON line a message")


def _translating(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    translate = _command(commands, "translate", "translating:translate", "Translate HL7 v2 to FHIR Bundles.")
    translate.add_argument("files", nargs="+", metavar="FILE", help="messages or batches; - is standard input")
    translate.add_argument("--trace", action="store_true", help="with each element's mapping row and source")
    translate.add_argument("--report", action="store_true", help="what was mapped, ignored and not mapped")
    translate.add_argument("--envelope", action="store_true", help="with MessageHeader, Provenance and Device as well")
    translate.add_argument("--mappings", metavar="DIR", help="the folder of mappings (default: those that come along)")
    translate.add_argument(
        "--to", choices=("fhir", "hl7v2"), default="fhir", help="hl7v2: FHIR files to HL7 v2 messages"
    )
    _site(translate)
    translate.add_argument("--zone", default="", help="time zone of times without an offset (default: UTC)")
    translate.add_argument("--authority", default="", help="assigning authority of identifiers that name none")
    text = "Tell where a FHIR value came from, or what became of a place of the message."
    explain = _command(commands, "explain", "translating:explain", text)
    explain.add_argument("file", metavar="FILE")
    explain.add_argument("path", metavar="PATH", help="for example Patient.birthDate, or PID-3[2].4")
    explain.add_argument("--mappings", metavar="DIR")
    _site(explain)
    explain.add_argument("--zone", default="", help=argparse.SUPPRESS)
    explain.add_argument("--authority", default="", help=argparse.SUPPRESS)
    check = _command(commands, "check", "translating:check", "Check a mapping set, or a message's conformance.")
    check.add_argument("folder", nargs="?", metavar="DIR", help="a folder of mappings (default: those that come along)")
    check.add_argument("--message", metavar="FILE", help="report how a message conforms to its HL7 v2 version instead")
    check.add_argument("--site", metavar="NAME", help="with this overlay only (default: the base, and every overlay)")
    check.add_argument("--show", metavar="MAP", help="print what a map compiles to, for example 'PID[Patient]'")
    check.add_argument("--examples", action="store_true", help="run the examples that stand beside the maps")
    check.add_argument("--reference", metavar="FILE", help="with --examples: write the page of all maps and examples")
    text = "Account for every row of HL7's v2-to-FHIR guide: mapped, or why not."
    coverage = _command(commands, "coverage", "coverage:coverage", text)
    coverage.add_argument("folder", metavar="DIR", help="the guide's tables: messages/, segments/, datatypes/ as CSV")
    coverage.add_argument("--mappings", metavar="DIR", help="the folder of mappings (default: those that come along)")
    coverage.add_argument("--rows", action="store_true", help="print every row, not only those unaccounted for")
    coverage.add_argument("--map", metavar="NAME", help="only the maps whose name has this in it, with all their rows")
    coverage.add_argument("--json", action="store_true", help="one JSON document")
    coverage.add_argument("--page", metavar="FILE", help="write the summary as a page of docs")


def _mapping(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = _command(
        commands, "compare", "comparing:compare", "Tell what mapping tables would change of stored traffic."
    )
    compare.add_argument("folder", metavar="DIR", help="the tables to try: hl7v2_to_fhir/, or sites/ alone")
    compare.add_argument("--messages", metavar="FOLDER", help="messages in files instead of the stored ones")
    compare.add_argument("--last", type=int, metavar="N", help="the last stored messages (default: 1000)")
    compare.add_argument("--since", metavar="TIME", help="the messages received since then")
    _site(compare)
    compare.add_argument("--show-values", action="store_true", help="do not mask values in examples: they are PHI")
    compare.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    compare.add_argument("--json", action="store_true", help="one JSON document")
    compare.add_argument("--var", metavar="DIR")
    text = "Put mapping tables in force while the gateway runs, go back, and apply them to the past."
    mapping = _command(commands, "mapping", "activating:mapping", text)
    mapping.add_argument("action", choices=("activate", "list", "rollback", "refold"))
    mapping.add_argument("target", nargs="?", metavar="DIR", help="the folder to put in force, for activate")
    mapping.add_argument("--to", metavar="HASH", default="", help="which earlier set to go back to (default: the last)")
    mapping.add_argument("--patient", nargs="+", metavar="ID", help="whom to refold: ids or record numbers")
    mapping.add_argument("--all", action="store_true", help="refold everyone")
    mapping.add_argument("--var", metavar="DIR")
    mapping.add_argument("--json", action="store_true", help="one JSON line a set")


def _journal(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    park = _command(commands, "park", "journal:park", "List parked entries, retry them, or drop them with a reason.")
    park.add_argument("action", choices=("list", "retry", "drop"))
    park.add_argument("seqs", nargs="*", type=int, metavar="SEQ", help="entries to retry or drop")
    park.add_argument("--all", action="store_true", help="all parked entries")
    park.add_argument("--reason", help="why they are dropped")
    park.add_argument("--var", metavar="DIR")
    park.add_argument("--json", action="store_true")
    text = "Fold the whole journal again into a new state, and compare it with the live one."
    rebuild = _command(commands, "rebuild", "journal:rebuild", text)
    rebuild.add_argument("--var", metavar="DIR")
    rebuild.add_argument("--replace", action="store_true", help="put the new state in place of the old one")
    state = _command(commands, "state", "journal:state", "Print the digest of the state.")
    state.add_argument("action", choices=("digest",))
    state.add_argument("--var", metavar="DIR")
    state.add_argument("--tables", action="store_true", help="one digest a table")


def _importing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    importing = _command(commands, "import", "importing:run", "Import places or staff into the directory, from CSV.")
    importing.add_argument("kind", choices=("locations", "staff"))
    importing.add_argument("file", metavar="FILE", help="CSV with a head line; docs/feeds.md names the columns")
    importing.add_argument("--var", metavar="DIR", help="the folder with all data (default: ./var)")


def _upkeep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    token = _command(commands, "token", "upkeep:token", "Make, list and revoke API tokens.")
    token.add_argument("action", choices=("add", "list", "revoke"))
    token.add_argument("name", nargs="?", help="whose token it is")
    roles = ("feed", "engineer", "pra", "pra-lead", "billing", "privacy-officer", "admin")  # privacy.Role
    token.add_argument("--role", choices=roles, default="pra")
    token.add_argument("--days", type=float, metavar="N", help="after how many days it expires (default: never)")
    token.add_argument("--scopes", help="rights or SMART scopes with blanks between, less than its role may")
    token.add_argument("--feed", default="", help="the feed that a token of role feed sends for (default: its name)")
    token.add_argument("--var", metavar="DIR")
    audit = _command(commands, "audit", "audit:audit", "Check the audit trail, or list what was shown of a patient.")
    audit.add_argument("action", choices=("verify", "disclosures"))
    audit.add_argument("patient", nargs="?", metavar="PATIENT", help="an id or a record number, for disclosures")
    audit.add_argument("--since", metavar="NUMBER:HASH", help="what an earlier verify printed as newest")
    audit.add_argument("--after", type=int, default=0, metavar="NUMBER", help="disclosures behind this event")
    audit.add_argument("--limit", type=int, default=1_000_000_000, metavar="N", help="at most so many disclosures")
    audit.add_argument("--var", metavar="DIR")
    audit.add_argument("--json", action="store_true", help="one JSON line an event")
    migrate = _command(commands, "migrate", "database:migrate", "Bring the database's schema up to this program's.")
    migrate.add_argument("--var", metavar="DIR")
    text = "Copy journal, state, audit trail and tokens into the database of [database] url; the digests must be equal."
    move = _command(commands, "move", "database:move", text)
    move.add_argument("--from", dest="source", choices=("sqlite", "postgresql"), required=True)
    move.add_argument("--to", choices=("sqlite", "postgresql"), required=True)
    move.add_argument("--var", metavar="DIR")
    doctor = _command(commands, "doctor", "upkeep:doctor", "Check settings, ports, disk, mappings and the EHR.")
    _places(doctor)
    doctor.add_argument("--json", action="store_true")
    bench = _command(commands, "bench", "upkeep:bench", "Run a benchmark of bench/ (from a checkout).")
    bench.add_argument("name", help="its name, or all")
    bench.add_argument("rest", nargs=argparse.REMAINDER, help="its own options")
