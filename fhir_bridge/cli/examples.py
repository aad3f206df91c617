"""check --examples: the examples beside maps, run; and the reference of the maps that is made of them."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import definitions as hl7_definitions
from fhir_bridge import mapping
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed
from fhir_bridge.mapping.examples import Example, read_examples, run
from fhir_bridge.mapping.load import read_files, read_roots
from fhir_bridge.mapping.overlay import SITES, chain, overlaid
from fhir_bridge.mapping.reference import reference
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import mapping_files

if TYPE_CHECKING:
    from fhir_bridge.mapping.nodes import MapNode
    from fhir_bridge.source import Problem

CONTEXT = mapping.TranslateContext(uuid.UUID(int=0), ZoneInfo("America/New_York"), "LGH", envelope=True)
"""Times without an offset are New York's and numbers without an authority LGH's, in every example."""


def check_examples(folder: str | None, reference_file: str | None, site: str | None = None) -> int:
    """Run a folder's examples; print each that comes out otherwise, and write the reference where one is asked for."""
    if site:
        return _check_overlay(Path(folder) if folder else None, site)
    where = (Path(folder) if folder else packaged_mappings()) / "hl7v2_to_fhir"
    try:
        maps, examples, problems = run_examples(where)
    except mapping.CheckFailed as failed:
        raise CommandFailed(f"the mapping set does not check:\n{failed}") from failed
    for problem in problems:
        print(problem)
    without = sorted(maps.keys() - {example.map for example in examples})
    print(
        f"{where}: {len(examples)} examples of {len(maps) - len(without)} maps, {len(problems)} differences"
        + (f"; none for {', '.join(without)}" if without else ""),
        file=sys.stderr,
    )
    if reference_file:
        Path(reference_file).write_text(reference(read_folder(where), maps, examples), encoding="utf-8")
    return FAILED if problems or without else GOOD


def _check_overlay(folder: Path | None, site: str) -> int:
    """The examples in an overlay's own folders, and those it stands on, run with it laid over the tables."""
    files = {name: text.encode() for name, text in mapping_files(folder).items()}
    try:
        mapping_set = mapping.load_files(files, load_definitions(), hl7_definitions(), None, site)
    except mapping.CheckFailed as failed:
        raise CommandFailed(f"the mapping set does not check:\n{failed}") from failed
    problems: list[Problem] = []
    maps = read_roots(overlaid(files, site, hl7_definitions(), problems)[0], problems).maps
    folders = tuple(f"{SITES}{name}/" for name in chain(files, site))
    beside = read_folder(folder or packaged_mappings())
    examples = read_examples({name: text for name, text in beside.items() if name.startswith(folders)}, problems)
    problems += run(mapping_set, maps, examples, er7.parse, CONTEXT)
    for problem in sorted(problems):
        print(problem)
    print(f"{site}: {len(examples)} examples, {len(problems)} differences", file=sys.stderr)
    return FAILED if problems else GOOD


def run_examples(where: Path) -> tuple[dict[str, MapNode], list[Example], list[Problem]]:
    """The maps and examples of a folder, and what is wrong. Raises CheckFailed where the set does not check."""
    files = read_folder(where)
    mapping_set = mapping.load_files(files, load_definitions(), hl7_definitions(), None)
    maps = read_files({name: content for name, content in files.items() if not name.startswith("sites/")})[0].maps
    problems: list[Problem] = []
    examples = read_examples(files, problems)
    problems += run(mapping_set, maps, examples, er7.parse, CONTEXT)
    return maps, examples, sorted(problems)


def read_folder(where: Path) -> dict[str, bytes]:
    """The files of a mapping folder by name."""
    return {path.relative_to(where).as_posix(): path.read_bytes() for path in sorted(where.rglob("*.yaml"))}
