"""translate, explain, check: mapping sets and messages, without an installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.sending import messages
from fhir_bridge.tasks.education import load_catalogue
from fhir_bridge.tasks.load import load_rules
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import load_mapping

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fhir_bridge.mapping import MappingSet


def translate(arguments: argparse.Namespace) -> int:
    """One JSON document a message on stdout; what was not translated on stderr, and 1 where there was such."""
    mapping_set = _load(arguments.mappings)
    context = mapping.TranslateContext(mapping.PUBLIC_NAMESPACE, _zone(arguments.zone), arguments.authority)
    result = GOOD
    for name in arguments.files:
        for number, raw in enumerate(messages(name), 1):
            try:
                print(orjson.dumps(_document(mapping_set, er7.parse(raw), context, arguments)).decode())
            except (mapping.NotMapped, mapping.Untranslatable, Er7Error) as verdict:
                print(f"{name}: message {number}: {_verdict(verdict)}", file=sys.stderr)
                result = FAILED
    return result


def _document(
    mapping_set: MappingSet, message: er7.Message, context: mapping.TranslateContext, arguments: argparse.Namespace
) -> dict[str, Any]:
    """A Bundle; with --trace or --report an object that holds it."""
    if not (arguments.trace or arguments.report):
        return mapping.bundle(mapping_set.translate(message, context))
    trace = mapping_set.trace(message, context)
    document: dict[str, Any] = {"bundle": mapping.bundle(trace.translation)}
    if arguments.trace:
        document["trace"] = [
            {name: getattr(origin, name) for name in ("resource", "path", "row", "when", "source", "raw")}
            for origin in trace.elements
        ]
    if arguments.report:
        places: dict[str, list[str]] = {"mapped": [], "ignored": [], "unmapped": []}
        for component in trace.components:
            places[component.status].append(component.place)
        document["report"] = places | {"warnings": list(trace.translation.warnings)}
    return document


def _verdict(verdict: Exception) -> str:
    if isinstance(verdict, mapping.NotMapped):
        why = verdict.why or f"there is no table for {verdict.trigger}"
        return f"ignored: {why}" if verdict.why else f"not mapped: {why}"
    if isinstance(verdict, mapping.Untranslatable):
        return f"cannot be translated: {verdict.code} at {verdict.location}"
    return f"cannot be read: {verdict}"


def explain(arguments: argparse.Namespace) -> int:
    """Where each value at a path came from: row, condition, field, raw text."""
    mapping_set = _load(arguments.mappings)
    context = mapping.TranslateContext(mapping.PUBLIC_NAMESPACE, ZoneInfo("UTC"))
    found = 0
    for raw in messages(arguments.file):
        try:
            trace = mapping_set.trace(er7.parse(raw), context)
        except (mapping.NotMapped, mapping.Untranslatable, Er7Error) as verdict:
            raise CommandFailed(f"{arguments.file}: {_verdict(verdict)}") from verdict
        for origin in trace.elements:
            if origin.path == arguments.path or origin.path.startswith((f"{arguments.path}.", f"{arguments.path}[")):
                where = f"{origin.source} = {origin.raw}" if origin.source else "a constant"
                when = f"  when {origin.when}" if origin.when else ""
                print(f"{origin.path}  <-  {where}\n    {origin.map}  {origin.row}{when}")
                found += 1
    if not found:
        raise CommandFailed(f"nothing in {arguments.file} wrote {arguments.path}")
    return GOOD


def check(arguments: argparse.Namespace) -> int:
    """Compile a folder's mappings and rules and print every error; or report on a message's conformance."""
    if arguments.message:
        return _conformance(arguments.message)
    folder = Path(arguments.folder) if arguments.folder else None
    if arguments.show:
        try:
            print(_load(arguments.folder).source(arguments.show))
        except KeyError as error:
            raise CommandFailed(f"there is no map {arguments.show}") from error
        return GOOD
    errors = check_folder(folder)
    for line in errors:
        print(line)
    where = folder or packaged_mappings()
    print(f"{where}: {len(errors)} errors" if errors else f"{where}: good", file=sys.stderr)
    return FAILED if errors else GOOD


def check_folder(folder: Path | None) -> list[str]:
    """All errors of a folder of mappings and rules, each with file:line:column."""
    where = folder or packaged_mappings()
    if not where.is_dir():
        raise WrongCall(f"{where} is no folder")
    steps: list[Callable[[], object]] = []
    if (where / "hl7v2_to_fhir").is_dir():
        steps.append(lambda: load_mapping(where))
    if (where / "rules").is_dir():
        steps.append(lambda: load_rules(where / "rules"))
    if (where / "education").is_dir():
        steps.append(lambda: load_catalogue(where / "education"))
    if not steps:
        raise WrongCall(f"{where} holds none of hl7v2_to_fhir/, rules/, education/")
    errors = []
    for step in steps:
        try:
            step()
        except mapping.CheckFailed as failed:
            errors += [str(problem) for problem in failed.problems]
    return errors


def _conformance(name: str) -> int:
    from adapters.hl7v2 import conformance

    worst = GOOD
    for raw in messages(name):
        report = conformance.report(raw)
        for finding in report.findings:
            deviation = f"found {finding.found}, expected {finding.expected}"
            print(f"{finding.severity}  {finding.location}  {finding.code}: {deviation}")
        verdict = "conforms" if report.conforms else "does not conform"
        what = f"{report.message_code}^{report.trigger} {report.structure} {report.version}"
        print(f"{name}: {verdict} ({what}, {len(report.findings)} findings)", file=sys.stderr)
        worst = worst if report.conforms else FAILED
    return worst


def _load(folder: str | None) -> MappingSet:
    try:
        return load_mapping(Path(folder) if folder else packaged_mappings())
    except mapping.CheckFailed as failed:
        text = "\n".join(str(problem) for problem in failed.problems)
        raise CommandFailed(f"the mapping set does not check:\n{text}") from failed


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise WrongCall(f"'{name}' is no time zone, for example America/New_York") from error
