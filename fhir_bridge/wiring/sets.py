"""Sets in force (FOLD 11): mapping, rules and settings become effective by an entry that carries them whole.

So a rebuild folds every entry under the sets that it was folded under, and "which mapping was that?" has an answer.
Folders are read here once, and from then on the journal is; what they mean is the compiler's and the rules' affair.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import definitions as hl7_definitions
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.pipeline.context import InForce
from fhir_bridge.pipeline.errors import Ignored, Poison
from fhir_bridge.pipeline.ports import Draft, Kind
from fhir_bridge.pipeline.translate import FeedSettings, Sets
from fhir_bridge.record.clocks import settle_fold
from fhir_bridge.source import CheckFailed
from fhir_bridge.tasks.calendar import Calendar
from fhir_bridge.tasks.education import Catalogue, load_materials
from fhir_bridge.tasks.load import load_texts
from fhir_bridge.wiring.installation import packaged_mappings

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from pathlib import Path

    from fhir_bridge.config import Settings
    from fhir_bridge.mapping import MappingSet
    from fhir_bridge.pipeline.ports import Instant, JournalReader
    from fhir_bridge.record.assertion import Translation
    from fhir_bridge.tasks.rules import RuleSet

SET_KINDS = MAPPING, RULES, SETTINGS = "mapping", "rules", "settings"
_FOLDERS = {MAPPING: ("hl7v2_to_fhir",), RULES: ("rules", "education")}


def configured(settings: Settings) -> dict[str, bytes]:
    """The body of an activation entry for each set as it is configured now: kind → canonical JSON."""
    folder = settings.mapping_folder or packaged_mappings()
    bodies = {kind: _body(kind, _files(folder, names)) for kind, names in _FOLDERS.items()}
    feeds = {
        name: asdict(FeedSettings(feed.source, feed.zone, feed.charset, feed.authority))
        for name, feed in settings.feeds.items()
    }
    values = {
        "feeds": feeds,
        "facility": {"zone": settings.facility.zone, "language": settings.facility.language},
        "destination": settings.destinations[0].name if settings.destinations else "",
        "precedence": list(settings.facility.precedence),
    }
    bodies[SETTINGS] = _body(SETTINGS, {"settings.json": orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()})
    return bodies


def _files(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    found = sorted(path for name in names for path in (folder / name).rglob("*.yaml"))
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def _body(kind: str, files: Mapping[str, str]) -> bytes:
    content = orjson.dumps(files, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(content, digest_size=16).hexdigest()
    return orjson.dumps({"kind": kind, "hash": digest, "files": files}, option=orjson.OPT_SORT_KEYS)


def activation_drafts(settings: Settings, active: Mapping[str, str], now: Instant) -> tuple[list[Draft], list[str]]:
    """The entries that put the configured sets in force where others are, and what is wrong with those that cannot be.

    A set that does not check is never stored: the one in force stays (what MAPPING calls an atomic reload).
    """
    drafts: list[Draft] = []
    problems: list[str] = []
    for kind, body in configured(settings).items():
        content = orjson.loads(body)
        digest = content["hash"]
        if active.get(kind) == digest:
            continue
        errors = _errors(kind, content["files"], settings.var / "cache")
        if errors:
            problems += errors
            continue
        key = f"{kind}:{digest}:{now}"
        drafts.append(Draft(Kind.ACTIVATION, "activation", now, 0, key, f"activation.{kind}", body))
    return drafts, problems


def _errors(kind: str, files: Mapping[str, str], cache: Path) -> list[str]:
    """Everything that is wrong with a set; compiling it here also fills the cache for the worker."""
    try:
        if kind == MAPPING:
            load_mapping_files(files, cache)
        elif kind == RULES:
            _load_rules(files, cache)
    except CheckFailed as failed:
        return [str(problem) for problem in failed.problems]
    return []


class SetLibrary:
    """Puts sets in force, and keeps those in force at hand."""

    def __init__(self, var: Path, namespace: uuid.UUID) -> None:
        self.current: Sets | None = None
        self._var, self._namespace = var, namespace
        self._hashes: dict[str, str] = {}
        self._mapping_files: Mapping[str, str] | None = None
        self._mapping: MappingSet | None = None
        self._translator: Translator | None = None
        self._rules: RuleSet | None = None
        self._materials = Catalogue(())
        self._settings: dict[str, Any] | None = None

    def restore(self, active: Mapping[str, tuple[str, int]], journal: JournalReader) -> None:
        """Put in force what a state says is in force, from the entries that said so."""
        for _, seq in sorted(active.values(), key=lambda pair: pair[1]):
            entry = journal.entry(seq)
            if entry is None:
                raise Poison("activation-missing")
            self.activate(entry.body)

    def activate(self, body: bytes) -> tuple[str, str]:
        """Put the set of an activation entry in force; a set that does not check is never stored, so it loads."""
        content = orjson.loads(body)
        kind, digest, files = content["kind"], content["hash"], content["files"]
        if self._hashes.get(kind) != digest:
            if kind == SETTINGS:
                self._settings = orjson.loads(files["settings.json"])
            elif kind == MAPPING:
                self._mapping_files, self._mapping, self._translator = files, None, None
            else:
                self._rules, self._materials = _load_rules(files, self._var / "cache")
            self._hashes[kind] = digest
        self._combine()
        return kind, digest

    def _combine(self) -> None:
        if self._mapping_files is None or self._rules is None or self._settings is None:
            return
        facility = self._settings["facility"]
        self.current = Sets(
            hashes=dict(self._hashes),
            translate_hl7v2=self._translate,
            force=InForce(
                rules=self._rules,
                calendar=Calendar(ZoneInfo(facility["zone"])),
                languages=(facility["language"],),
                namespace=self._namespace,
                materials=self._materials,
            ),
            feeds={name: FeedSettings(**values) for name, values in self._settings["feeds"].items()},
            precedence=tuple(self._settings["precedence"]),
            zone=facility["zone"],
            destination=self._settings["destination"],
        )

    def _translate(self, body: bytes, feed: FeedSettings, received_at: int) -> Translation:
        if self._translator is None:
            self._translator = Translator(self.mapping(), self._namespace)
        return self._translator(body, feed, received_at)

    def mapping(self) -> MappingSet:
        """The mapping set in force, loaded when it is first asked for: who only reads rules never pays for it."""
        if self._mapping is None:
            self._mapping = load_mapping_files(self._mapping_files or {}, self._var / "cache")
        return self._mapping


def load_mapping(folder: Path, cache: Path | None = None) -> MappingSet:
    """Load and check the mapping set of a folder of mappings. Raises mapping.CheckFailed."""
    return load_mapping_files(_files(folder, _FOLDERS[MAPPING]), cache)


def load_mapping_files(files: Mapping[str, str], cache: Path | None) -> MappingSet:
    """Load and check a mapping set with this project's definitions. Raises mapping.CheckFailed."""
    content = {name: text.encode() for name, text in files.items()}
    return mapping.load_files(content, load_definitions(), hl7_definitions(), cache)


def _load_rules(files: Mapping[str, str], cache: Path) -> tuple[RuleSet, Catalogue]:
    by_folder: dict[str, dict[str, str]] = {"rules": {}, "education": {}}
    for name, text in files.items():
        folder, _, rest = name.partition("/")
        by_folder[folder][rest] = text
    return load_texts(by_folder["rules"], cache), load_materials(by_folder["education"])


class Translator:
    """Bytes of an HL7 v2 message to assertions: the ER7 view and the mapping set put together."""

    def __init__(self, mapping_set: MappingSet, namespace: uuid.UUID) -> None:
        self._set, self._namespace = mapping_set, namespace

    def __call__(self, body: bytes, feed: FeedSettings, received_at: int) -> Translation:
        """Translate one message, received at an instant (µs).

        Raises Ignored where no table takes its trigger, Poison where it cannot be read.
        """
        try:
            message = er7.parse(body, default_charset=feed.charset)
            translation = self._set.translate(message, context(self._namespace, feed))
        except mapping.NotMapped as verdict:
            raise Ignored("not-wanted" if verdict.why else "not-mapped", verdict.trigger) from verdict
        except mapping.Untranslatable as verdict:
            raise Poison(verdict.code, verdict.location) from verdict
        except Er7Error as error:
            raise Poison(f"er7-{error.code}", str(error.location or "")) from error
        if translation.recorded is None or not _is_zoneless(message):
            return translation
        return replace(translation, recorded=settle_fold(translation.recorded, received_at, feed.tzinfo()))


def _is_zoneless(message: er7.Message) -> bool:
    """Whether the recorded time (EVN-2, else MSH-7) came without an offset."""
    event, header = message.first("EVN"), message.first("MSH")
    stated = event.fields[2] if event and len(event.fields) > 2 else ""
    stated = stated or (header.fields[7] if header and len(header.fields) > 7 else "")
    return "+" not in stated and "-" not in stated


def context(namespace: uuid.UUID, feed: FeedSettings) -> mapping.TranslateContext:
    """What a feed's messages mean, as the compiler wants to know it."""
    return mapping.TranslateContext(namespace=namespace, zone=feed.tzinfo(), authority=feed.authority)
