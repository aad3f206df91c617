"""Sets in force (FOLD 11): mapping, rules and settings become effective by an entry that carries them whole.

So a rebuild folds every entry under the sets that it was folded under, and "which mapping was that?" has an answer.
Folders are read here once, and from then on the journal is; what they mean is the compiler's and the rules' affair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import definitions as hl7_definitions
from adapters.hl7v2.errors import Er7Error
from fhir_bridge import mapping
from fhir_bridge.mapping.load import EXAMPLES
from fhir_bridge.pipeline.context import InForce
from fhir_bridge.pipeline.errors import Ignored, Poison
from fhir_bridge.pipeline.minors import CONSENT_AGES
from fhir_bridge.pipeline.sensitivity import DIAGNOSES, Sensitivity
from fhir_bridge.pipeline.translate import FeedSettings, Sets
from fhir_bridge.record.clocks import settle_fold
from fhir_bridge.source import CheckFailed
from fhir_bridge.tasks.calendar import Calendar
from fhir_bridge.tasks.education import Catalogue, load_materials
from fhir_bridge.tasks.load import load_texts
from fhir_bridge.wiring.garbage import settle
from fhir_bridge.wiring.installation import packaged_mappings

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping
    from pathlib import Path

    from fhir_bridge.mapping import MappingSet
    from fhir_bridge.pipeline.ports import JournalReader
    from fhir_bridge.record.assertion import Translation
    from fhir_bridge.tasks.rules import RuleSet

SET_KINDS = MAPPING, RULES, SETTINGS = "mapping", "rules", "settings"
BASE, SITES = "hl7v2_to_fhir", "sites"
FOLDERS = {MAPPING: (BASE, SITES), RULES: ("rules", "education")}


class SetLibrary:
    """Puts sets in force, and keeps those in force at hand."""

    def __init__(self, var: Path, namespace: uuid.UUID) -> None:
        self.current: Sets | None = None
        self._var, self._namespace = var, namespace
        self._hashes: dict[str, str] = {}
        self._mapping_files: Mapping[str, str] | None = None
        self._mappings: dict[str, MappingSet] = {}
        self._translators: dict[str, Translator] = {}
        self._rules: RuleSet | None = None
        self._materials = Catalogue(())
        self._settings: dict[str, Any] | None = None

    def restore(self, active: Mapping[str, tuple[str, int]], journal: JournalReader) -> None:
        """Put in force what a state says is in force, from the entries that said so."""
        for _, seq in sorted(active.values(), key=lambda pair: pair[1]):
            entry = journal.entry(seq)
            if entry is None:
                raise Poison("activation-missing")
            self._put(orjson.loads(entry.body))

    def activate(self, body: bytes) -> tuple[str, str]:
        """Put the set of an activation entry in force. Raises Poison, and changes nothing, where it does not check."""
        content = orjson.loads(body)
        try:
            self._try(content["kind"], content["files"])
        except CheckFailed as failed:
            raise Poison("set-does-not-check", str(failed.problems[0].at)) from failed
        self._put(content)
        return content["kind"], content["hash"]

    def _try(self, kind: str, files: Mapping[str, str]) -> None:
        """Compile what would come into force; the cache then has it."""
        cache = self._var / "cache"
        if kind == RULES:
            load_rule_files(files, cache)
            return
        settings = orjson.loads(files["settings.json"]) if kind == SETTINGS else self._settings
        mapping_files = files if kind == MAPPING else self._mapping_files
        for site in _sites_of(settings or {"feeds": {}}) if mapping_files is not None else ():
            load_mapping_files(mapping_files or {}, cache, site)

    def compile(self) -> None:
        """Compile what is in force: who translates finds a set that cannot be read at the start, not at a message."""
        for site in _sites_of(self._settings) if self.current is not None and self._settings is not None else ():
            self.mapping(site)

    def _put(self, content: Mapping[str, Any]) -> None:
        kind, digest, files = content["kind"], content["hash"], content["files"]
        if self._hashes.get(kind) != digest:
            if kind == SETTINGS:
                self._settings = orjson.loads(files["settings.json"])
            elif kind == MAPPING:
                self._mapping_files = files
            else:
                self._rules, self._materials = load_rule_files(files, self._var / "cache")
            if kind != RULES:
                self._mappings, self._translators = {}, {}
            self._hashes[kind] = digest
        self._combine()

    @property
    def hashes(self) -> Mapping[str, str]:
        """The content hash of each set in force, by kind."""
        return self._hashes

    @property
    def namespace(self) -> uuid.UUID:
        """The installation's secret, under which ids are made."""
        return self._namespace

    @property
    def mapping_files(self) -> Mapping[str, str]:
        """The mapping tables in force."""
        return self._mapping_files or {}

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
            feeds={name: self._feed(values) for name, values in self._settings["feeds"].items()},
            precedence=tuple(self._settings["precedence"]),
            zone=facility["zone"],
            destination=self._settings["destination"],
            sensitivity=_sensitivity(self._settings.get("privacy", {})),
            consent_ages=CONSENT_AGES | self._settings.get("privacy", {}).get("minors", {}),
        )

    def _feed(self, values: Mapping[str, Any]) -> FeedSettings:
        """A feed's settings; what its overlays declare goes before them, since they know the feed's bytes."""
        feed = FeedSettings(**values)
        if not feed.site:
            return feed
        declared = mapping.customs(_bytes(self._mapping_files or {}), feed.site)
        return replace(
            feed,
            zone=declared.zone or feed.zone,
            charset=declared.charset or feed.charset,
            authority=declared.authority or feed.authority,
            precision=declared.precision or feed.precision,
        )

    def _translate(self, body: bytes, feed: FeedSettings, received_at: int) -> Translation:
        translator = self._translators.get(feed.site)
        if translator is None:
            translator = self._translators[feed.site] = Translator(self.mapping(feed.site), self._namespace)
        return translator(body, feed, received_at)

    def mapping(self, site: str = "") -> MappingSet:
        """The mapping set in force for a site, loaded when first asked for: who only reads rules never pays for it."""
        found = self._mappings.get(site)
        if found is None:
            found = load_mapping_files(self._mapping_files or {}, self._var / "cache", site)
            self._mappings[site] = found
            settle()
        return found


def _sites_of(settings: Mapping[str, Any]) -> list[str]:
    """The base, and every overlay that some feed names."""
    return sorted({"", *(feed.get("site", "") for feed in settings["feeds"].values())})


def mapping_files(folder: Path | None) -> dict[str, str]:
    """The mapping tables of a folder, or those that come along; a folder of overlays alone stands on these."""
    packaged = packaged_mappings()
    files = read_folder(packaged if folder is None else folder, FOLDERS[MAPPING])
    if folder is not None and not (folder / BASE).is_dir():
        return read_folder(packaged, FOLDERS[MAPPING]) | files
    return files


def read_folder(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """The YAML files of some of a folder's folders, by name relative to it; examples are not put in force."""
    every = sorted(path for name in names for path in (folder / name).rglob("*.yaml"))
    found = [path for path in every if not path.name.endswith(EXAMPLES)]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def load_mapping(folder: Path | None, cache: Path | None = None, site: str = "") -> MappingSet:
    """Load and check the mapping set of a folder of mappings, or the one that comes along. Raises CheckFailed."""
    return load_mapping_files(mapping_files(folder), cache, site)


def load_mapping_files(files: Mapping[str, str], cache: Path | None, site: str = "") -> MappingSet:
    """Load and check a mapping set with this project's definitions. Raises CheckFailed."""
    return mapping.load_files(_bytes(files), load_definitions(), hl7_definitions(), cache, site)


def _bytes(files: Mapping[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


def load_rule_files(files: Mapping[str, str], cache: Path) -> tuple[RuleSet, Catalogue]:
    """Load and check rules and education. Raises CheckFailed."""
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


def _sensitivity(privacy: Mapping[str, Any]) -> Sensitivity:
    """The tables of labels: as shipped, a site's lines before them."""
    return Sensitivity(privacy.get("units", {}), DIAGNOSES | privacy.get("diagnoses", {}))
