"""The head of an overlay: where it stands, what its feeds mean beyond their bytes, Z segments, authorities.

Read from ``overlay.yaml`` alone, so that who only needs a feed's zone does not read the tables. `under` lays one
head over another; `DeclaredHl7` is HL7's definitions with what a site declared.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_bridge.mapping import keys as keys_of
from fhir_bridge.mapping.conditions import parse_address
from fhir_bridge.mapping.load_yaml import Reader
from fhir_bridge.mapping.runtime import MOST_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import yaml

    from fhir_bridge.mapping.definitions import Hl7Definitions, Hl7Part
    from fhir_bridge.mapping.errors import Problem
    from fhir_bridge.mapping.nodes import Text

LEVELS = ("vendor", "site", "feed")
CLOCKS = {
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}
"""How precise a feed's clock is, in µs."""
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s]+")
_MEANINGS = ("deleted", "unchanged")


@dataclass(frozen=True, slots=True)
class DeclaredField:
    """A field that a site declares."""

    name: str
    datatype: str
    repeats: bool


@dataclass(frozen=True, slots=True)
class Declared:
    """What overlays declare. `empty` says of ``PID-13`` or ``PV2`` whether an empty field is a deletion."""

    level: str = ""
    stands_on: Text | None = None
    zone: str = ""
    charset: str = ""
    authority: str = ""
    precision: int = 0
    empty: Mapping[str, bool] = field(default_factory=dict)
    authorities: Mapping[str, str] = field(default_factory=dict)
    segments: Mapping[str, Mapping[int, DeclaredField]] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """How high its level stands."""
        return LEVELS.index(self.level) if self.level in LEVELS else len(LEVELS)

    def under(self, head: Declared) -> Declared:
        """The same with another overlay's declarations laid over it."""
        segments = {name: {**self.segments.get(name, {}), **fields} for name, fields in head.segments.items()}
        return replace(
            head,
            zone=head.zone or self.zone,
            charset=head.charset or self.charset,
            authority=head.authority or self.authority,
            precision=head.precision or self.precision,
            empty={**self.empty, **head.empty},
            authorities={**self.authorities, **head.authorities},
            segments={**self.segments, **segments},
        )

    def emptied(self, hl7: Hl7Definitions) -> dict[str, list[int]]:
        """The fields of each segment whose emptiness deletes."""
        found: dict[str, set[int]] = {}
        for address in sorted(self.empty, key=lambda text: "-" in text):  # a segment's word first, then its fields'
            name, _, number = address.partition("-")
            numbers = {int(number)} if number else set(hl7.segment(name) or ())
            chosen = found.setdefault(name, set())
            found[name] = chosen | numbers if self.empty[address] else chosen - numbers
        return {name: sorted(numbers) for name, numbers in found.items() if numbers}


class DeclaredHl7:
    """HL7's definitions with the segments and fields that overlays declare."""

    def __init__(self, hl7: Hl7Definitions, segments: Mapping[str, Mapping[int, DeclaredField]]) -> None:
        self._hl7, self._segments = hl7, segments

    @property
    def version(self) -> str:
        """That of HL7's own; what is declared stands in the files."""
        return self._hl7.version

    def segment(self, name: str, version: str = "2.8") -> Mapping[int, Hl7Part] | None:
        """A segment's fields, declared ones in place of HL7's."""
        known, declared = self._hl7.segment(name, version), self._segments.get(name)
        return {**(known or {}), **declared} if declared else known

    def datatype(self, name: str, version: str = "2.8") -> Mapping[int, Hl7Part] | None:
        """HL7's own."""
        return self._hl7.datatype(name, version)


def read_head(root: yaml.Node, name: str, problems: list[Problem], hl7: Hl7Definitions | None = None) -> Declared:
    """What ``overlay.yaml`` of the overlay `name` declares; data types are looked up where definitions are at hand."""
    return _HeadReader(problems, hl7).read(root, name)


class _HeadReader(Reader):
    def __init__(self, problems: list[Problem], hl7: Hl7Definitions | None) -> None:
        super().__init__(problems)
        self._hl7 = hl7

    def read(self, root: yaml.Node, name: str) -> Declared:
        keys = self.mapping(root, keys_of.OVERLAY, "the head of an overlay", required=("overlay", "level"))
        stated = self.text(keys["overlay"]) if "overlay" in keys else None
        if stated and stated.text != name:
            self.problem(stated.at, f"overlay: {stated.text}", f"the name of its folder, {name}")
        return Declared(
            level=self.choice(keys.get("level"), LEVELS, "a level"),
            stands_on=self.text(keys["over"]) if "over" in keys else None,
            zone=self._zone(keys.get("zone")),
            charset=self._charset(keys.get("charset")),
            authority=self.string(keys.get("authority")),
            precision=CLOCKS.get(self.choice(keys.get("clock"), CLOCKS, "how precise the feed's clock is"), 0),
            empty=dict(self._empty(*pair) for pair in self._pairs(keys, "empty")),
            authorities={key.text: self._uri(value) for key, value in self._pairs(keys, "authorities")},
            segments=dict(self._segment(*pair) for pair in self._pairs(keys, "segments")),
        )

    def _pairs(self, keys: Mapping[str, yaml.Node], key: str) -> list[tuple[Text, yaml.Node]]:
        return self.pairs(keys[key], key) if key in keys else []

    def _zone(self, node: yaml.Node | None) -> str:
        zone = self.string(node)
        try:
            if zone:
                ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            assert node is not None
            self.problem(node, f"the zone {zone}", "an IANA time zone, like America/New_York")
            return ""
        return zone

    def _charset(self, node: yaml.Node | None) -> str:
        charset = self.string(node)
        try:
            if charset:
                codecs.lookup(charset)
        except LookupError:
            assert node is not None
            self.problem(node, f"the character set {charset}", "one like utf-8 or iso-8859-1")
        return charset

    def _uri(self, node: yaml.Node) -> str:
        uri = self.string(node)
        if uri and not _URI.fullmatch(uri):
            self.problem(node, f"the system {uri}", "a URI, like urn:oid:2.16.840.1.113883.3.1")
        return uri

    def _empty(self, key: Text, value: yaml.Node) -> tuple[str, bool]:
        address = parse_address(key.text, key.at)
        whole = _SEGMENT.fullmatch(key.text) is not None
        if not whole and (address is None or address.component or address.repetition or not address.field):
            self.problem(key.at, key.text, "a segment or a field, such as PV2 or PID-13")
        meaning = self.choice(value, _MEANINGS, "what an empty field means")
        return key.text, meaning == "deleted"

    def _segment(self, key: Text, value: yaml.Node) -> tuple[str, dict[int, DeclaredField]]:
        if not _SEGMENT.fullmatch(key.text):
            self.problem(key.at, key.text, "the name of a segment, such as ZPD")
        fields = {}
        for number, node in self.pairs(value, "fields by number"):
            if not number.text.isdecimal() or not 0 < int(number.text) <= MOST_FIELDS:
                self.problem(number.at, number.text, f"the number of a field, 1 to {MOST_FIELDS}")
                continue
            keys = self.mapping(node, keys_of.FIELD, "a field", required=("type",))
            datatype = self.text(keys["type"]) if "type" in keys else None
            if datatype and self._hl7 is not None and self._hl7.datatype(datatype.text) is None:
                self.problem(datatype.at, f"no data type {datatype.text}", "a data type of HL7 v2, such as ST or CWE")
            name = self.string(keys.get("name"))
            fields[int(number.text)] = DeclaredField(
                name, datatype.text if datatype else "", self.flag(keys.get("repeats"))
            )
        return key.text, fields
