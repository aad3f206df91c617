"""translate, explain, check: mapping sets and messages, without an installation."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from adapters.hl7v2 import er7
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall
from fhir_bridge.cli.sending import messages
from fhir_bridge.mapping.outward import FOLDER as OUTWARD
from fhir_bridge.tasks.education import load_catalogue
from fhir_bridge.tasks.load import load_rules
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import BASE, SITES, load_mapping, mapping_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fhir_bridge.mapping import MappingSet


def translate(arguments: argparse.Namespace) -> int:
    """One JSON document a message on stdout; what was not translated on stderr, and 1 where there was such."""
    if arguments.to == "hl7v2":
        return _outward(arguments)
    mapping_set, context, charset = _tables(arguments)
    result = GOOD
    for name in arguments.files:
        for number, raw in enumerate(messages(name), 1):
            try:
                message = er7.parse(raw, default_charset=charset)
                print(orjson.dumps(_document(mapping_set, message, context, arguments)).decode())
            except (mapping.NotMapped, mapping.Untranslatable, Er7Error) as verdict:
                print(f"{name}: message {number}: {_verdict(verdict)}", file=sys.stderr)
                result = FAILED
    return result


def _outward(arguments: argparse.Namespace) -> int:
    """FHIR files, each a resource or a Bundle, as HL7 v2 messages on stdout."""
    from fhir_bridge.mapping.outward_run import CannotSend
    from fhir_bridge.wiring.outward import load_sender, send_all

    try:
        sender = load_sender(Path(arguments.mappings) if arguments.mappings else None)
    except mapping.CheckFailed as failed:
        raise CommandFailed("\n".join(str(problem) for problem in failed.problems)) from failed
    at = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    found = 0
    for name in arguments.files:
        try:
            document = orjson.loads(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
            for sent in send_all(sender, document, at):
                sys.stdout.buffer.write(sent.raw + b"\n")
                found += 1
        except orjson.JSONDecodeError as error:
            raise CommandFailed(f"{name}: not JSON, at line {error.lineno}") from error
        except (OSError, CannotSend) as error:
            raise CommandFailed(f"{name}: {error}") from error
    if not found:
        raise CommandFailed(f"nothing there that becomes a message: {', '.join(sorted(sender.types))} do")
    return GOOD


def _tables(arguments: argparse.Namespace) -> tuple[MappingSet, mapping.TranslateContext, str | None]:
    """The mapping set that the call names, and what its feeds mean: as the call says, else as the overlay declares."""
    folder = Path(arguments.mappings) if arguments.mappings else None
    mapping_set = _load(folder, arguments.site)
    declared = mapping.customs({name: text.encode() for name, text in mapping_files(folder).items()}, arguments.site)
    zone = _zone(arguments.zone or declared.zone or "UTC")
    authority = arguments.authority or declared.authority
    meaning = mapping.TranslateContext(
        mapping.PUBLIC_NAMESPACE, zone, authority, envelope=bool(getattr(arguments, "envelope", False))
    )
    return mapping_set, meaning, declared.charset or None


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
    """Where the values at a FHIR path came from; or what became of a place of the message (``PID-3[2].4``)."""
    mapping_set, context, charset = _tables(arguments)
    place = mapping.place_of(arguments.path)
    found = 0
    for raw in messages(arguments.file):
        try:
            trace = mapping_set.trace(er7.parse(raw, default_charset=charset), context)
        except (mapping.NotMapped, mapping.Untranslatable, Er7Error) as verdict:
            raise CommandFailed(f"{arguments.file}: {_verdict(verdict)}") from verdict
        found += _forward(trace, arguments.path) if place is None else _backward(mapping.became(trace, place))
    if not found:
        said = "wrote" if place is None else "is valued at"
        raise CommandFailed(f"nothing in {arguments.file} {said} {arguments.path}")
    return GOOD


def _forward(trace: mapping.Trace, path: str) -> int:
    origins = mapping.wrote(trace, path)
    for origin in origins:
        print(f"{origin.path}  <-  {f'{origin.source} = {origin.raw}' if origin.source else 'a constant'}")
        print(f"    {_row(origin)}")
    return len(origins)


def _backward(became: mapping.Became) -> int:
    for component in became.components:
        print(f"{component.place}  {component.status}")
    for origin in became.elements:
        print(f"    {origin.source} = {origin.raw}  ->  {origin.path}")
        print(f"        {_row(origin)}")
    if not became.elements and any(component.status == "mapped" for component in became.components):
        print("    read by a key, a condition or the clock; no element was made of it")
    return len(became.components)


def _row(origin: mapping.Origin) -> str:
    return f"{origin.map}  {origin.row}" + (f"  when {origin.when}" if origin.when else "")


def check(arguments: argparse.Namespace) -> int:
    """Compile a folder's mappings and rules and print every error; or report on a message's conformance."""
    if arguments.message:
        return _conformance(arguments.message)
    if arguments.examples:
        from fhir_bridge.cli.examples import check_examples

        return check_examples(arguments.folder, arguments.reference, arguments.site)
    folder = Path(arguments.folder) if arguments.folder else None
    if arguments.show:
        try:
            print(_load(folder, arguments.site or "").source(arguments.show))
        except KeyError as error:
            raise CommandFailed(f"there is no map {arguments.show}") from error
        return GOOD
    _known(folder, arguments.site or "")
    errors = check_folder(folder, arguments.site)
    for line in errors:
        print(line)
    where = folder or packaged_mappings()
    print(f"{where}: {len(errors)} errors" if errors else f"{where}: good", file=sys.stderr)
    return FAILED if errors else GOOD


def check_folder(folder: Path | None, site: str | None = None) -> list[str]:
    """All errors of a folder of mappings and rules, each with file:line:column; with one of its overlays, or all."""
    where = folder or packaged_mappings()
    if not where.is_dir():
        raise WrongCall(f"{where} is no folder")
    steps: list[Callable[[], object]] = []
    if (where / BASE).is_dir() or (where / SITES).is_dir():
        steps += _mapping_steps(folder, site)
    if (where / OUTWARD).is_dir():
        steps.append(partial(_load_sender, where))
    if (where / "rules").is_dir():
        steps.append(lambda: load_rules(where / "rules"))
    if (where / "education").is_dir():
        steps.append(lambda: load_catalogue(where / "education"))
    if not steps:
        raise WrongCall(f"{where} holds none of hl7v2_to_fhir/, sites/, rules/, education/")
    return _errors(steps)


def _load_sender(where: Path) -> object:
    from fhir_bridge.wiring.outward import load_sender

    return load_sender(where)


def check_mapping(folder: Path | None) -> list[str]:
    """All errors of a folder's mapping tables, with each of its overlays."""
    return _errors(_mapping_steps(folder, None))


def _mapping_steps(folder: Path | None, site: str | None) -> list[Callable[[], object]]:
    alone = folder is not None and not (folder / BASE).is_dir()
    known = sorted(path.name for path in (folder / SITES).iterdir() if path.is_dir()) if folder and alone else None
    names = [site] if site is not None else known if known is not None else ["", *sites_of(folder)]
    return [partial(load_mapping, folder, site=name) for name in names]


def _errors(steps: list[Callable[[], object]]) -> list[str]:
    errors = []
    for step in steps:
        try:
            step()
        except mapping.CheckFailed as failed:
            errors += [str(problem) for problem in failed.problems]
    return list(dict.fromkeys(errors))


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


def _load(folder: Path | None, site: str = "") -> MappingSet:
    _known(folder, site)
    try:
        return load_mapping(folder, site=site)
    except mapping.CheckFailed as failed:
        text = "\n".join(str(problem) for problem in failed.problems)
        raise CommandFailed(f"the mapping set does not check:\n{text}") from failed


def _known(folder: Path | None, site: str) -> None:
    known = sites_of(folder)
    if site and site not in known:
        raise WrongCall(f"there is no overlay '{site}'; there are: {', '.join(known) or 'none'}")


def sites_of(folder: Path | None) -> list[str]:
    """The overlays of a folder of mappings, or those that come along."""
    return mapping.sites(dict.fromkeys(mapping_files(folder), b""))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise WrongCall(f"'{name}' is no time zone, for example America/New_York") from error
