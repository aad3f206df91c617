"""What compiled maps call that depends on delimiters and the feed: reading parts of a message, conversions, keys.

A Scope is made for one set of delimiters and settings, and belongs to one thread: everything in it may be remembered by
the raw text alone. What a translation asserts is put together in `translate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import lookup, values
from fhir_bridge.mapping.drafts import Draft, compose, deed, field, put, reference
from fhir_bridge.mapping.errors import Untranslatable
from fhir_bridge.mapping.grouping import Grouping, Shape
from fhir_bridge.mapping.memory import MOST_TEXTS, Memory
from fhir_bridge.mapping.values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo
    from uuid import UUID

    from fhir_bridge.mapping.definitions import Delimiters

NULL = '""'
"""What HL7 v2 writes to delete a value."""

_NOTHING = frozenset({"", NULL})

_NEVER = "\0"
"""Stands for a delimiter that MSH-2 does not name."""

MOST_FIELDS = 250
"""No mapping reads a field beyond this one."""

_PARTS = {"CX": (1, 4, 5), "XCN": (1, 9, 13), "PPN": (1, 9, 13), "CN": (1, 8, 0), "XON": (10, 6, 7)}
"""Where an identifier's value, authority and type stand in each data type."""


class Scope:
    """The names that compiled code sees (`names`), and the lists that it fills for one message."""

    def __init__(
        self,
        delimiters: Delimiters,
        namespace: UUID,
        zone: tzinfo,
        authority_of: Callable[[str], str],
        authorities: Mapping[str, str],
    ) -> None:
        self.made: list[Draft] = []
        self.trouble: list[str] = []
        self.links: list[tuple[Draft, Draft]] = []
        self.decode: Callable[[str], str] = str
        self.new_id = values.id_maker(namespace)
        self._ids: dict[str, str] = {}
        self._zone = zone
        self._authority_of, self._authorities = authority_of, authorities
        self._component, self._sub = delimiters.component or _NEVER, delimiters.subcomponent or _NEVER
        self._repetition, self._escape = delimiters.repetition or _NEVER, delimiters.escape or _NEVER
        self._marks = self._component + self._sub + self._repetition + " "
        self.text = self._text_reader()
        self._memory = Memory(self.made, self.trouble, self.text)
        self.authority = self._authority_reader()
        self.names: dict[str, Any] = self._names()

    def _names(self) -> dict[str, Any]:
        names: dict[str, Any] = {
            "COMP": self._component, "SUB": self._sub, "REP": self._repetition, "NULL": NULL,
            "LEFT_OUT": lookup.LEFT_OUT, "made": self.made, "trouble": self.trouble, "Untranslatable": Untranslatable,
            "text": self.text, "part": self._part_reader(), "first": self._first, "rep": self._rep, "reps": self._reps,
            "texts": self._texts, "valued": self._valued, "count": self._count, "field": field,
            "authority": self.authority,
            "identifier_key": self._identifier_key, "compose": compose, "put": put, "display": self._display,
            "new": self._new, "complete": self._complete, "reference": reference,
            "concept": lookup.concept, "coding": lookup.coding, "plus": self._plus, "first_valued": self._first_valued,
            "link": self._link, "deed": deed, "NOBODY": ({},),
        }  # fmt: skip
        for kind, read in self._readers().items():
            names[f"to_{kind}"] = decoded = self._guarded(read)
            names[f"as_{kind}"] = self._memory.values(decoded) if kind in _DATES else self._raw(decoded)
        names["as_code"] = self._code
        for encoding, read_bytes in values.BYTES.items():
            names[f"to_bytes_{encoding}"] = decoded = self._guarded(read_bytes)
            names[f"as_bytes_{encoding}"] = self._raw(decoded)
        names["to_string"] = names["to_markdown"] = lambda text: text.strip() or None
        return names

    def bind(self, spec: list[Any], names: Mapping[str, Any]) -> Any:
        """A binding of the compiled set: a constant, a code table, an authority, or a remembered conversion."""
        kind, *parts = spec
        if kind == "text":
            return parts[0]
        if kind == "set":
            return frozenset(parts[0])
        if kind == "codes":
            make = (
                lookup.coding_lookup if parts[0]["type"] in {"Coding", "CodeableConcept"} else lookup.primitive_lookup
            )
            return lookup.later(lambda: make(parts[0], self.text, self.trouble))
        if kind == "authority":
            return self._authority_of(parts[0])
        if kind == "shape":
            return Grouping(Shape.of(parts))
        if kind == "pad":
            return _padding([""] * parts[0])
        if parts[0] == "segment":
            return self._memory.segments(names[parts[1]], parts[2], names["padded"])
        if parts[0] == "line":
            return self._memory.lines(names[parts[1]], names["padded"])
        function, separator, *rest = (names[name] for name in parts[1:])
        if parts[0] == "fields":
            return self._memory.objects(function)
        if parts[0] == "all":
            return self._memory.simple(lambda raw: self._all(function, raw))
        if parts[0] == "map":
            return self._memory.simple(lambda raw: function({}, raw, separator, *rest))
        if parts[0] == "row":
            return self._memory.simple(lambda raw: function(raw, separator, *rest))
        return self._memory.objects(lambda raw: function(raw, separator))

    # reading

    def _text_reader(self) -> Callable[[str], str]:
        repetition, component, sub, escape = self._repetition, self._component, self._sub, self._escape

        def text(raw: str) -> str:
            """The first part of a raw text, decoded, without blanks around it; '' for nothing and for ``""``."""
            if raw.isalnum():  # most are, and no delimiter is a letter or digit
                return raw
            if repetition in raw:
                raw = raw.split(repetition, 1)[0]
            if component in raw:
                raw = raw.split(component, 1)[0]
            if sub in raw:
                raw = raw.split(sub, 1)[0]
            if raw == NULL:
                return ""
            if escape in raw:
                raw = self.decode(raw)
            return raw.strip()

        return text

    def _part_reader(self) -> Callable[[str, str, int], str]:
        repetition = self._repetition

        def part(raw: str, separator: str, number: int) -> str:
            """A component or sub-component of the first repetition, '' when absent."""
            if repetition in raw:
                raw = raw.split(repetition, 1)[0]
            if separator not in raw:
                return raw if number == 1 else ""
            parts = raw.split(separator, number)
            return parts[number - 1] if len(parts) >= number else ""

        return part

    def _first(self, raw: str) -> str:
        return raw.split(self._repetition, 1)[0] if self._repetition in raw else raw

    def _rep(self, raw: str, number: int) -> str:
        parts = raw.split(self._repetition)
        return parts[number - 1] if len(parts) >= number else ""

    def _reps(self, raw: str) -> Sequence[str]:
        return raw.split(self._repetition) if self._repetition in raw else (raw,)

    def _texts(self, raw: str, separator: str) -> str:
        """All repetitions of a field, decoded, with a separator between them."""
        return separator.join(map(self.text, self._reps(raw))).rstrip() if raw and raw != NULL else ""

    def _valued(self, raw: str) -> bool:
        return raw.isalnum() or (raw not in _NOTHING and raw.strip(self._marks) != "")

    def _count(self, raw: str) -> int:
        return len(raw.split(self._repetition)) if raw else 0

    def _first_valued(self, *raws: str) -> str:
        for raw in raws:
            if raw.isalnum() or (raw and self._valued(raw)):
                return self._first(raw)
        return ""

    def _all(self, convert: Callable[[str], Any], raw: str) -> list[Any]:
        """The values of all repetitions that have one."""
        values = [convert(part) for part in self._reps(raw) if part and part != NULL]
        return [value for value in values if value is not None]

    # conversions

    def _readers(self) -> dict[str, Callable[[str], Any]]:
        zone = self._zone
        return {
            "date": values.read_date,
            "dateTime": lambda text: values.read_datetime(text, zone),
            "instant": lambda text: values.read_instant(text, zone),
            "integer": values.read_integer,
            "unsignedInt": values.read_unsigned,
            "positiveInt": values.read_positive,
            "decimal": values.read_decimal,
            "code": values.read_code,
            "uri": values.read_uri,
            "url": values.read_uri,
            "canonical": values.read_uri,
            "oid": values.read_uri,
            "uuid": values.read_uri,
            "time": values.read_time,
            "id": values.read_id,
        }

    def _code(self, raw: str) -> str | None:
        text = self.text(raw)
        return values.read_code(text) if " " in text else text or None

    def _guarded(self, read: Callable[[str], Any]) -> Callable[[str], Any]:
        trouble = self.trouble

        def convert(text: str) -> Any:
            if not text:
                return None
            try:
                return read(text)
            except Unreadable:
                trouble.append("unreadable")
                return None

        return convert

    def _raw(self, convert: Callable[[str], Any]) -> Callable[[str], Any]:
        text = self.text
        return lambda raw: convert(text(raw))

    def _authority_reader(self) -> Callable[..., str | None]:
        known: dict[str, str] = {}
        text, sub, systems = self.text, self._sub, self._authorities

        def authority(raw: str, separator: str = sub) -> str | None:
            """An HD (its parts divided by `separator`) as a URI."""
            uri = known.get(separator + raw)
            if uri is None:
                parts = [text(part) for part in raw.split(separator)]
                name, universal, kind = [*parts, "", ""][:3]
                uri = systems.get(name) or systems.get(universal) or values.authority_uri(name, universal, kind)
                if len(known) >= MOST_TEXTS:
                    known.clear()
                known[separator + raw] = uri
            return uri or None

        return authority

    def _plus(self, value: str | None, amount: str, seconds: int) -> str | None:
        text = self.text(amount)
        if value is None or not text:
            return None
        try:
            return values.add_seconds(value, values.read_unsigned(text) * seconds)
        except Unreadable:
            self.trouble.append("unreadable")
            return None

    def _display(self, *raws: str) -> str:
        return " ".join(filter(None, map(self.text, raws)))

    # keys and resources

    def _identifier_key(
        self, type_name: str, raw: str, separator: str, datatype: str, prefer: str, authority: str
    ) -> str:
        """``Type|system|value`` of the preferred identifier among the repetitions, '' when none has a value."""
        fallback = ""
        for repetition in self._reps(raw) if separator == self._component else (raw,):
            if not repetition or repetition == NULL:
                continue
            parts = repetition.split(separator)
            value, system, kind = self._identifier(parts, separator, datatype)
            if value:
                key = f"{type_name}|{system or authority}|{value}"
                if not prefer or kind == prefer:
                    return key
                fallback = fallback or key
        return fallback

    def _identifier(self, parts: list[str], separator: str, datatype: str) -> tuple[str, str | None, str]:
        """The value, system and type of an identifier's parts."""
        value_at, system_at, type_at = _PARTS.get(datatype, (1, 0, 0))
        size, text, authority = len(parts), self.text, self.authority
        value = text(parts[value_at - 1]) if value_at <= size else ""
        if datatype == "XON" and not value and size >= 3:  # where older senders put it
            value = text(parts[2])
        if datatype in {"EI", "EIP"}:
            return value, authority(separator.join(parts[1:4]), separator) if size > 1 else None, ""
        system = authority(parts[system_at - 1]) if 0 < system_at <= size else None
        return value, system, text(parts[type_at - 1]) if 0 < type_at <= size else ""

    def _new(self, type_name: str, key: str, needs: tuple[tuple[str, ...], ...]) -> Draft:
        known = self._ids.get(key)
        if known is None:
            if len(self._ids) >= MOST_TEXTS:
                self._ids.clear()
            known = self._ids[key] = self.new_id(key)
        return Draft(type_name, known, key, needs)

    def _complete(self, draft: Draft) -> Draft | None:
        """Takes a finished resource among those made, unless it lacks a required element."""
        for names in draft.needs:
            if not any(name in draft.resource for name in names):
                self.trouble.append("incomplete")
                return None
        draft.needs = ()
        self.made.append(draft)
        return draft

    def _link(self, retired: Draft | None, survivor: Draft | None) -> None:
        if retired is not None and survivor is not None and retired.id != survivor.id:
            self.links.append((retired, survivor))


_DATES = frozenset({"date", "dateTime", "instant"})


def _padding(pad: list[str]) -> Callable[[list[str]], list[str]]:
    """Puts empty fields after the last one that was sent."""
    return lambda fields: fields + pad[len(fields) :]
