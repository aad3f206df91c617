"""How a row's raw text becomes its element's value: conversions, code tables, maps, and resources made inside of rows.

Whole objects come from functions of their own (V… for coded elements, R… for resources), which plain code calls through
a memory (M…) of raw texts it has converted before. Where values are put is `compile_rows`' work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_bridge.mapping import conditions, lookup, plan
from fhir_bridge.mapping.check_codes import unmapped_mode
from fhir_bridge.mapping.check_rows import owners_of, writes_of
from fhir_bridge.mapping.compile_code import CodeWriter, Module, Raw
from fhir_bridge.mapping.expressions import Frame
from fhir_bridge.mapping.nodes import Address, python_name

if TYPE_CHECKING:
    from fhir_bridge.mapping.nodes import CodeTable

_CONCEPTS = frozenset({"Coding", "CodeableConcept"})
_PERSONAL = frozenset({"CX", "EI", "XPN", "PN", "XAD", "AD", "XTN", "TN"})
"""Types whose values are one person's or one thing's: they come again with their whole segment, seldom elsewhere."""


class ValueWriter(CodeWriter):
    """Writes conversions; functions that they need stand in `beside`."""

    def __init__(self, module: Module, the_map: plan.MapPlan, owner: str) -> None:
        super().__init__(module, Frame(the_map.source, the_map.is_segment))
        self.map = the_map
        self.authority = module.constants.authority(owner) if the_map.is_segment else "k"
        self.beside: list[str] = []

    def put(self, write: plan.Write, raw: Raw, path: str, put: str) -> None:
        """Convert, and put the value ``v`` where it belongs; traced, note where it came from."""
        traced = self.module.traced
        if traced:
            self.add(f"q = {path}")
        self.add(f"v = {self.convert(write, raw)}")
        if traced:
            with self.block("if trouble:"):
                self.add(f"t.warn({raw.place})")
        with self.block("if v is not None:"):
            if traced:
                self.add(self.wrote(write, "q", raw.place))
            self.add(put)

    def wrote(self, write: plan.Write, path: str, place: str) -> str:
        """Traced code's note that a row wrote: its path, number, source, and what its condition read."""
        row = write.row
        others = [address for address in row.template if isinstance(address, Address)]
        others += row.source if row.join is not None else []
        others += conditions.addresses(row.when.condition) if row.when else []
        others += [row.plus.address] if row.plus else []
        others += row.display if self.map.is_segment else ()
        mine = [a for a in others if a.field or a.container == self.map.source]
        places = "".join(f"{self.frame.location(address)}, " for address in dict.fromkeys(mine))
        number = self.module.row(self.map.name, write)
        return f"t.wrote({path}, {number}, {place or None}, ({places}), {self._reach(write)!r})"

    def _reach(self, write: plan.Write) -> str:
        """What of its source a row takes: its first part, the whole, or nothing itself, since another map does."""
        if not write.sourced or write.row.resource is not None:
            return "none"
        if write.using in self.module.maps:
            return "part" if write.table else "through"
        return "whole" if write.using else "part"

    def convert(self, write: plan.Write, raw: Raw) -> str:
        """The expression of a row's value; None when it has none."""
        row, kind = write.row, write.element.type
        if row.resource is not None:
            return f"reference({raw.variable})"
        if row.make is not None:
            return self._made(write, raw)
        if write.table is not None:
            if kind in _CONCEPTS:
                return self._concept(write, write.table, raw)
            return f"{self._lookup(write.table, write)}({raw.variable})"
        if write.using == "HD[uri]":
            return f"authority({raw.single}, {raw.separator})"
        if write.using == "EI[uri]":
            return f"authority({raw.separator}.join(({raw.single}).split({raw.separator})[1:4]), {raw.separator})"
        if write.row.encoding:
            return f"{'to' if raw.decoded else 'as'}_bytes_{write.row.encoding}({raw.variable})"
        if write.fill is not None:
            return self._filled(write, raw)
        if write.using:
            return self._mapped(self.module.maps[write.using], raw)
        if kind in {"string", "markdown"} and not raw.decoded:
            return f"text({raw.variable}) or None"
        value = f"{'to' if raw.decoded else 'as'}_{kind}({raw.variable})"
        if row.plus is not None:
            return f"plus({value}, {self.frame.raw(row.plus.address)}, {row.plus.seconds})"
        return value

    def _lookup(self, table: CodeTable, write: plan.Write) -> str:
        spec = lookup.describe(table, unmapped_mode(table, write.element), write.element.type)
        return self.module.constants.bind("C", "codes", spec)

    def _mapped(self, the_map: plan.MapPlan, raw: Raw) -> str:
        """An object by a data type map."""
        if self.module.traced:
            return f"{the_map.function}({{}}, {raw.single}, {raw.separator}, {self.authority}, q, {raw.place})"
        if not self.map.is_segment or the_map.source in _PERSONAL:
            return f"{the_map.function}({{}}, {raw.single}, {raw.separator}, {self.authority})"
        memory = self.module.constants.bind("M", "memo", "map", the_map.function, raw.separator, self.authority)
        return f"{memory}({raw.single})"

    def _filled(self, write: plan.Write, raw: Raw) -> str:
        """An object by a data type map, completed by literals."""
        name, using, traced = self.module.name("V"), self.module.maps[write.using], self.module.traced
        extra = ", q, l" if traced else ""
        lines = [f"o = {using.function}({{}}, w, s, k{extra})", "if o is None:", "    return None"]
        number = self.module.row(self.map.name, write) if traced else 0
        for element, value in write.fill.items():
            lines += [f'if "{element}" not in o:', f'    o["{element}"] = {self.module.constants.literal(value)}']
            if traced:
                lines.append(f'    t.wrote(q + ".{element}", {number}, None, (), "none")')
        lines.append("return o")
        self.beside.append(f"def {name}(w, s, k{extra}):\n    " + "\n    ".join(lines) + "\n")
        place = f", q, {raw.place}" if traced else ""
        return f"{name}({raw.single}, {raw.separator}, {self.authority}{place})"

    def _concept(self, write: plan.Write, table: CodeTable, raw: Raw) -> str:
        """A Coding or CodeableConcept by a code table, completed by what the sender wrote."""
        name, traced = self.module.name("V"), self.module.traced
        source = self.module.constants.text(table.source_system)
        using = self.module.maps.get(write.using)
        extra = ", q, l" if traced else ""
        lines = [f"y = {self._lookup(table, write)}(w)", "if y is LEFT_OUT:", "    return None"]
        sent = f"{using.function}({{0}}, w, s, k{extra})" if using else "{0} or None"
        if write.element.type == "Coding":
            lines.append("if y is not None:\n        return y")
            lines.append(f"return coding({sent.format('{}')}, text(w), {source})")
        else:
            lines.append('o = {} if y is None else {"coding": [y]}')
            lines.append(f"o = {sent.format('o')}")
            if traced:
                lines.append("z = len(o.get('coding', ())) if o else 0")
            lines.append(f"o = concept(o, y, text(w), {source})")
            if traced:
                lines.append("if o and len(o.get('coding', ())) < z:\n        t.dropped(q + '.coding', 1)")
            lines.append("return o")
        arguments = f"w, s, k{', q, l' if traced else ''}"
        self.beside.append(f"def {name}({arguments}):\n    " + "\n    ".join(lines) + "\n")
        if traced:
            return f"{name}({raw.single}, {raw.separator}, {self.authority}, q, {raw.place})"
        if not self.map.is_segment:
            return f"{name}({raw.variable}, {raw.separator}, {self.authority})"
        memory = self.module.constants.bind("M", "memo", "row", name, raw.separator, self.authority)
        return f"{memory}({raw.single})"

    # resources made inside of rows

    def _made(self, write: plan.Write, raw: Raw) -> str:
        assert write.row.make is not None
        assert write.key is not None
        using, traced, name = self.module.maps[write.using], self.module.traced, self.module.name("R")
        frames = _KeyFrames(using, self.map, write.row.source[0], traced=traced)
        type_name = write.row.make.text
        key = key_expression(write.key, type_name, frames, self.module)
        shown = ", ".join(frames.of(address).raw(address) for address in write.row.display)
        body = ["r = None", f"key = {key}", "if key:"]
        body.append(f'    r = new("{type_name}", key, {write.needs!r})')
        owners = "".join(f", a_{python_name(name)}" for name in using.names)
        if using.is_segment:
            call = f"{using.function}(r.resource, r.deleted, f, g{', r.ref' if traced else ''}{owners})"
        else:
            authority = self.module.constants.authority(type_name)
            call = f"{using.function}(r.resource, w, s, {authority}{', r.ref, l' if traced else ''})"
        body += [f"    {call}", "    r = complete(r)", f"return reference(r{f', display({shown})' if shown else ''})"]
        if not using.is_segment:
            body[:0] = ["c = w.split(s)", "n = len(c)"]
        outside = using.is_segment or frames.outside
        named = [f"a_{python_name(name)}" for name in dict.fromkeys([*using.names, *owners_of(write.key)])]
        arguments = ["w", "s", *(["f", "g"] if outside else []), *named, *(["l"] if traced else [])]
        self.beside.append(f"def {name}({', '.join(arguments)}):\n    " + "\n    ".join(body) + "\n")
        values = [raw.single, raw.separator, *(["f", "g"] if outside else []), *named, *([raw.place] if traced else [])]
        call = f"{name}({', '.join(values)})"
        if traced or named or not self.map.is_segment:
            return call
        if not outside:
            memory = self.module.constants.bind("M", "memo", "make", name, raw.separator)
            return f"{memory}({raw.single})"
        fields = self._fields_of(using, [*addresses_of(write.key), *write.row.display])
        if fields is None:
            return call
        memory = self.module.constants.bind("M", "memo", "fields", name, raw.separator)
        texts = ", ".join(f"f[{number}]" for number in fields)
        return f"{memory}(({raw.variable}, {texts},), {', '.join(values)})"

    def _fields_of(self, using: plan.MapPlan, others: list[Address]) -> list[int] | None:
        """The fields of this segment that make a resource what it is; None if it depends on more than those."""
        writes = [write for member in using.branch.members for write in writes_of(member)]
        if any(write.key is not None for write in writes):
            return None
        addresses = [address for write in writes for address in reads_of(write)] if using.is_segment else []
        addresses += [address for address in others if address.field]
        if any(address.container != self.map.source for address in addresses):
            return None
        return sorted({address.field for address in addresses})


def reads_of(write: plan.Write) -> list[Address]:
    """Every address that a row reads, but for those of keys and displays."""
    row = write.row
    found = [*row.source, *(part for part in row.template if isinstance(part, Address))]
    found += conditions.addresses(row.when.condition) if row.when else []
    return found + ([row.plus.address] if row.plus else [])


def addresses_of(key: plan.Key | None) -> list[Address]:
    """Every address that a key reads."""
    if key is None:
        return []
    if isinstance(key, plan.ComposedKey):
        return [part.address for part in key.parts if isinstance(part, plan.Typed)]
    return [key.source.address, *addresses_of(key.otherwise)]


class _KeyFrames:
    """What the addresses of a key are read from: the text that the map reads, or the segment that the row stands in."""

    def __init__(self, using: plan.MapPlan, here: plan.MapPlan, source: Address, *, traced: bool) -> None:
        self._inner = Frame(using.source, is_segment=False)
        loops = {source.field: "w"} if here.is_segment and not source.component else {}
        self._outer = Frame(here.source, is_segment=True, loops=loops)
        self._using, self._source, self._traced = using, source, traced
        self.outside = False

    def of(self, address: Address) -> Frame:
        """The frame of an address."""
        if not address.field and address.container == self._using.source:
            return self._inner
        if address.field != self._source.field or self._source.component:
            self.outside = True
        return self._outer


class OneFrame:
    """A key whose addresses all stand in one frame."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def of(self, _address: Address) -> Frame:
        """The frame."""
        return self._frame


def key_expression(key: plan.Key, type_name: str, frames: _KeyFrames | OneFrame, module: Module) -> str:
    """A business key as an expression; '' when the message does not say it."""
    if isinstance(key, plan.ComposedKey):
        owners, texts = key_parts(key, frames)
        return f'compose("{type_name}", ({owners}), ({texts}))'
    address, frame = key.source.address, frames.of(key.source.address)
    prefer, authority = module.constants.text(key.prefer), module.constants.authority(type_name)
    separator = frame.separator(address)
    datatype = key.source.datatype if key.source.datatype.isalnum() else ""
    text = f'identifier_key("{type_name}", {frame.raw(address)}, {separator}, "{datatype}", {prefer}, {authority})'
    if key.otherwise is None:
        return text
    return f"({text} or {key_expression(key.otherwise, type_name, frames, module)})"


def key_parts(key: plan.ComposedKey, frames: _KeyFrames | OneFrame) -> tuple[str, str]:
    """The resources and the texts that a composed key is made of, as the insides of two tuples."""
    owners = "".join(f"a_{python_name(part)}, " for part in key.parts if isinstance(part, str))
    texts = "".join(f"{_key_text(part, frames)}, " for part in key.parts if isinstance(part, plan.Typed))
    return owners, texts


def _key_text(part: plan.Typed, frames: _KeyFrames | OneFrame) -> str:
    frame = frames.of(part.address)
    if part.datatype == "HD":
        return f'(authority({frame.raw(part.address)}, {frame.separator(part.address)}) or "")'
    return frame.text(part.address)
