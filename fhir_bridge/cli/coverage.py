"""coverage: what the mapping set does of HL7's v2-to-FHIR guide, against the guide's own tables."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2.definitions import definitions as hl7_definitions
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.coverage import report
from fhir_bridge.coverage.account import OPEN, STATES, Ledger, account
from fhir_bridge.coverage.codes import account_codes
from fhir_bridge.coverage.facts import facts
from fhir_bridge.coverage.guide import NoGuide, read_guide
from fhir_bridge.coverage.reasons import Reasons, read_reasons
from fhir_bridge.mapping import CheckFailed
from fhir_bridge.mapping.check import check
from fhir_bridge.mapping.load import read_files
from fhir_bridge.wiring.installation import packaged_mappings

if TYPE_CHECKING:
    import argparse

REASONS = Path("coverage", "v2-to-fhir.yaml")


def coverage(arguments: argparse.Namespace) -> int:
    """Print the ledger; 1 where a row is unaccounted for, or a reason is not true."""
    mappings = Path(arguments.mappings) if arguments.mappings else packaged_mappings()
    try:
        ledger = ledger_of(Path(arguments.folder), mappings)
    except NoGuide as error:
        raise WrongCall(str(error)) from error
    except CheckFailed as failed:
        raise CommandFailed(f"the mapping set does not check:\n{failed}") from failed
    if arguments.page:
        Path(arguments.page).write_text(report.page(ledger), encoding="utf-8")
    if arguments.json:
        print(orjson.dumps(report.document(ledger), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(ledger, arguments)
    return GOOD if report.is_complete(ledger) else FAILED


def _print(ledger: Ledger, arguments: argparse.Namespace) -> None:
    chosen = [
        line
        for line in (*ledger.segments, *ledger.datatypes)
        if not arguments.map or arguments.map.casefold() in line.row.map.casefold()
    ]
    if not arguments.map:
        print("\n".join((*report.summary(ledger), "", *report.code_summary(ledger))))
    for text in report.row_lines(chosen, STATES if arguments.rows or arguments.map else (OPEN,)):
        print(text)
    for code in ledger.codes:
        if code.state == OPEN or (arguments.rows and not arguments.map):
            print(
                f"{code.state:13} {code.code.table}:{code.code.line} {code.code.code} -> {code.code.becomes}  {code.by}"
            )
    for problem in ledger.problems:
        print(problem)
    segments, types = report.figures(ledger.segments), report.figures(ledger.datatypes)
    print(
        f"{segments['rows']} segment rows: {segments[OPEN]} unaccounted, {100 * report.share(segments):.1f} % of the"
        f" executable mapped; {types['rows']} data type rows: {types[OPEN]} unaccounted,"
        f" {100 * report.share(types):.1f} %; {len(ledger.codes)} codes:"
        f" {sum(line.state == OPEN for line in ledger.codes)} unaccounted",
        file=sys.stderr,
    )


def ledger_of(guide: Path, mappings: Path) -> Ledger:
    """The ledger of a folder of mappings against the guide's folder."""
    fhir, hl7 = load_definitions(), hl7_definitions()
    folder = mappings / "hl7v2_to_fhir"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.yaml"))}
    read, problems = read_files(files)
    the_plan = check(read, problems, fhir, hl7)
    path = mappings / REASONS
    reasons = (
        read_reasons(path.read_text(encoding="utf-8"), REASONS.as_posix()) if path.is_file() else Reasons((), {}, {})
    )
    tables = read_guide(guide)
    ledger = account(tables, facts(the_plan, fhir, hl7), reasons, fhir, hl7)
    codes, wrong = account_codes(tables, read.codes, reasons)
    return replace(ledger, codes=codes, problems=tuple(sorted((*ledger.problems, *wrong))))
