"""The education catalogue: which material fits a diagnosis and a language, from the site's own files, offline.

Files are mappings/education/*.yaml. Material is found by the longest ICD-10 prefix; codes alone are looked at, so that
a catalogue can never carry a patient's data. What a finished task writes back is catalogue.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from fhir_bridge.source import CheckFailed, Listing, Node, Position, Problem, Scalar, Table, nearest, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FALLBACK = "en"
KEYS = ("code", "title", "icd10", "language", "grade", "version", "reviewed", "text")
_ICD10 = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?\Z")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")
_SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


@dataclass(frozen=True, slots=True)
class Material:
    """One piece of teaching in one language. `grade` is its US reading grade, `prefixes` are ICD-10 without dots."""

    code: str
    title: str
    prefixes: tuple[str, ...]
    language: str
    grade: int
    version: int
    reviewed: date
    text: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All material of a site."""

    materials: tuple[Material, ...]

    def find(self, diagnoses: Iterable[str], language: str) -> Material | None:
        """The material for the most exactly matched diagnosis: in the language, else in English, else none."""
        codes = [code.replace(".", "").upper() for code in diagnoses]
        wanted = language.split("-", maxsplit=1)[0].lower()
        best: tuple[int, bool, int] | None = None
        found = None
        for material in self.materials:
            spoken = material.language.split("-", maxsplit=1)[0]
            if spoken not in (wanted, FALLBACK):
                continue
            length = max((len(p) for p in material.prefixes for code in codes if code.startswith(p)), default=0)
            rank = (length, spoken == wanted, material.version)
            if length and (best is None or rank > best):
                best, found = rank, material
        return found


def load_catalogue(folder: Path) -> Catalogue:
    """The checked catalogue of a folder. Raises CheckFailed with all problems."""
    return load_materials({path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))})


def load_materials(texts: Mapping[str, str]) -> Catalogue:
    """The checked catalogue of files given as name → text. Raises CheckFailed with all problems."""
    problems: list[Problem] = []
    materials: list[Material] = []
    for name in sorted(texts):
        try:
            root = read(texts[name], name)
        except CheckFailed as failed:
            problems.extend(failed.problems)
            continue
        listing = root.entries.get("materials") if isinstance(root, Table) else None
        if not isinstance(listing, Listing):
            problems.append(Problem(root.at, "a file without materials", "one table with the list materials:"))
            continue
        materials.extend(m for m in (_material(item, problems) for item in listing) if m is not None)
    if problems:
        raise CheckFailed(problems)
    return Catalogue(tuple(materials))


def _material(node: Node, problems: list[Problem]) -> Material | None:
    before = len(problems)
    if not isinstance(node, Table):
        problems.append(Problem(node.at, "no table", f"material: {', '.join(KEYS)}"))
        return None
    for key, place in node.keys.items():
        if key not in KEYS:
            problems.append(Problem(place, f"the key {key}", "a key of material", nearest(key, KEYS)))
    texts = {key: _text(node, key, problems) for key in KEYS if key != "icd10"}
    prefixes = _prefixes(node, problems)
    _expect(node, "code", texts, _SLUG, "a code of small letters, digits and hyphens", problems)
    _expect(node, "language", texts, _LANGUAGE, "a language as BCP 47 has it: en, es, zh-Hans", problems)
    _expect(node, "grade", texts, re.compile(r"([1-9]|1[0-2])\Z"), "a reading grade from 1 to 12", problems)
    _expect(node, "version", texts, re.compile(r"[1-9][0-9]{0,3}\Z"), "a whole number", problems)
    reviewed = _date(node, texts["reviewed"], problems)
    if len(problems) > before or reviewed is None:
        return None
    return Material(
        texts["code"],
        texts["title"],
        prefixes,
        texts["language"],
        int(texts["grade"]),
        int(texts["version"]),
        reviewed,
        texts["text"],
    )


def _place(node: Table, key: str) -> Position:
    value = node.entries.get(key)
    return value.at if value else node.at


def _text(node: Table, key: str, problems: list[Problem]) -> str:
    value = node.entries.get(key)
    if isinstance(value, Scalar) and value.value is not None:
        return str(value.value).strip()
    problems.append(
        Problem(_place(node, key), f"no {key}" if value is None else "no text", f"the key {key} with a text")
    )
    return ""


def _prefixes(node: Table, problems: list[Problem]) -> tuple[str, ...]:
    value = node.entries.get("icd10")
    items = value.items if isinstance(value, Listing) else ()
    if not items:
        problems.append(Problem(_place(node, "icd10"), "no icd10", "a list of ICD-10 prefixes, such as [I50]"))
    prefixes = []
    for item in items:
        text = str(item.value) if isinstance(item, Scalar) else ""
        if not _ICD10.match(text):
            problems.append(Problem(item.at, text or "no text", "an ICD-10 prefix, such as I50 or E11.9"))
        prefixes.append(text.replace(".", ""))
    return tuple(prefixes)


def _expect(
    node: Table, key: str, texts: dict[str, str], pattern: re.Pattern[str], expected: str, problems: list[Problem]
) -> None:
    if texts[key] and not pattern.match(texts[key]):
        problems.append(Problem(_place(node, key), texts[key], expected))


def _date(node: Table, text: str, problems: list[Problem]) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        if text:
            problems.append(Problem(_place(node, "reviewed"), text, "a date such as 2026-03-31"))
        return None
