"""Message tables as Python functions: which segments make which resources, under which keys.

``NAME(m, g)`` takes the segments in order and by name, fills the lists of its scope (`made`, `links`, `trouble`), and
gives the named resources back. Rows of maps are `compile_rows`' work; what is made of the lists is `translate`'s.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fhir_bridge.mapping import plan
from fhir_bridge.mapping.check_rows import writes_of
from fhir_bridge.mapping.compile_code import CodeWriter, Module
from fhir_bridge.mapping.compile_rows import compile_map
from fhir_bridge.mapping.compile_values import OneFrame, addresses_of, key_expression, key_parts, reads_of
from fhir_bridge.mapping.expressions import Frame
from fhir_bridge.mapping.nodes import python_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def compile_message(module: Module, message: plan.MessagePlan) -> str:
    """The source of a message's function, after those of its rows' own maps."""
    return _MessageWriter(module, message).write()


class _MessageWriter(CodeWriter):
    def __init__(self, module: Module, message: plan.MessagePlan) -> None:
        super().__init__(module, Frame("", is_segment=True))
        self._message = message
        self._beside: list[str] = []
        self._read: set[str] = set()
        self._scope = self._scopes = 0
        self._path = ""

    def write(self) -> str:
        if any(isinstance(row, plan.GroupPlan) for row in self._message.rows):
            shape = self.module.constants.bind("G", "shape", *_shape("", self._message.rows))
            self.add(f"g = {shape}(m, trouble, t)")
        self.add(*(f"{_variable(name)} = None" for name in self._message.names))
        self.add(*(f"{_all(name)} = []" for name in self._message.asked))
        self._rows(self._message.rows)
        self._collect(self._message.names)
        asked = ", ".join(f'"{name}": {_all(name)}' for name in self._message.asked)
        self.add(f"return {{{asked}}}")
        function = f"def {self._message.function}(m, g):\n" + "\n".join(self.lines) + "\n"
        return "\n".join([*self._beside, function])

    def _rows(self, rows: Iterable[plan.SegmentPlan | plan.GroupPlan]) -> None:
        for row in rows:
            if isinstance(row, plan.GroupPlan):
                self._group(row)
            else:
                self._row(row)

    def _collect(self, names: Iterable[str]) -> None:
        """Notes the resources that a trigger speaks of."""
        for name in names:
            if name in self._message.asked:
                with self.block(f"if {_variable(name)} is not None:"):
                    self.add(f"{_all(name)}.append({_variable(name)})")

    def _group(self, group: plan.GroupPlan) -> None:
        self._scopes += 1
        outer, depth, path = f"g{self._scopes}", self._scope, self._path
        outside, self._read, self._scope = self._read, set(), self._scopes
        self._path = f"{path}/{group.name}"
        self.add(f"{outer} = g")
        if group.each:
            with self.block(f'for g in {outer}.get("{self._path}", ()):'):
                names = _names(group.rows)
                self.add(*(f"{_variable(name)} = None" for name in names))
                self._rows(group.rows)
                self._collect(names)
        else:
            with self.block(f'for g in {outer}.get("{self._path}", NOBODY):'):
                self._rows(group.rows)
        self.add(f"g = {outer}")
        self._read, self._scope, self._path = outside, depth, path
        first = group.rows[0]
        if group.each and isinstance(first, plan.SegmentPlan) and first.row.required:
            with self.block(f'if not g.get("{self._path}/{group.name}"):'):
                self.add(f'raise Untranslatable("missing-segment", "{group.begins[0]}")')

    def _row(self, part: plan.SegmentPlan) -> None:
        if not part.row.envelope:
            self._segment(part)
            return
        outside, self._read = self._read, set(self._read)
        with self.block("if ENVELOPE:"):
            self._segment(part)
        self._read = outside

    def _segment(self, part: plan.SegmentPlan) -> None:
        row, name = part.row, part.row.segment.text
        if row.ignore:
            if self.module.traced:
                with self.block(f'for s in g.get("{name}", ()):'):
                    self.add("t.ignored((t.at(s.fields),))")
            return
        self.frame = Frame(name, is_segment=True)
        if row.each:
            with self.block(f'for s in g.get("{name}", ()):'):
                self._one(part)
            return
        variable = f"s{self._scope}_{name}"
        if variable not in self._read:
            self._read.add(variable)
            self.add(f'{variable} = g.get("{name}")')
            if part.row.make is not None:
                self._repeated(variable)
        with self.block(f"if {variable}:"):
            self.add(f"s = {variable}[0]")
            self._one(part)
        if row.required:
            with self.block("else:"):
                self.add(f'raise Untranslatable("missing-segment", "{name}")')

    def _fields(self) -> None:
        """Reads the segment's fields, with empty ones after the last, so that no row need ask how many were sent."""
        self.add("f = t.padded(s.fields, padded)" if self.module.traced else "f = padded(s.fields)")

    def _repeated(self, variable: str) -> None:
        with self.block(f"if {variable} and len({variable}) > 1:"):
            self.add('trouble.append("repeated-segment")')
            if self.module.traced:
                self.add(f"t.warn((t.at({variable}[1].fields),))")

    def _one(self, part: plan.SegmentPlan) -> None:
        """What one segment makes or writes into. Plain code that has seen a segment before does not look inside."""
        row = part.row
        if (
            self.module.traced
            or row.when is not None
            or row.action is not None
            or (part.own is not None and self._looks_inside(part.own))
        ):
            self._fields()
        with self.conditional_row(part):
            self._do(part)

    @contextmanager
    def conditional_row(self, part: plan.SegmentPlan) -> Iterator[None]:
        """A block in which a message row's condition holds."""
        if part.row.when is None:
            yield
        else:
            with self.block(f"if {self.frame.holds(part.row.when.condition, self.module.constants)}:"):
                yield

    def _looks_inside(self, own: plan.MapPlan) -> bool:
        """Whether rows of a message read the segment, rather than refer to resources only."""
        writes = [write for member in own.branch.members for write in writes_of(member)]
        return any(reads_of(write) or write.key is not None for write in writes)

    def _do(self, part: plan.SegmentPlan) -> None:
        if part.row.make is None:
            assert part.row.into is not None
            variable = _variable(part.row.into.text)
            with self.block(f"if {variable} is not None:"):
                self._fill(part, variable)
            return
        assert part.key is not None
        variable = _variable(part.row.name.text) if part.row.name else "r"
        self.add(f"key = {self._key(part.key, part.type)}")
        with self.block("if key:"):
            self.add(f'{variable} = new("{part.type}", key, {part.needs!r})', f"made.append({variable})")
            if self.module.traced:
                self.add(f"{variable}.origin = f")
            self._fill(part, variable)
            if part.row.mention or part.row.adds:
                self.add(f'{variable}.action = "{"mention" if part.row.mention else "put"}"')
            if part.row.action is not None:
                self.add(f"{variable}.action = deed({self.frame.text(part.row.action)}) or {variable}.action")
                if self.module.traced:
                    self.add(f"t.used((t.at(f), {part.row.action.field}, 1))")
            if part.row.merged_into is not None:
                self.add(f"link({variable}, {_variable(part.row.merged_into.text)})")
        with self.block("else:"):
            if part.row.required:
                self.add(f'raise Untranslatable("missing-key", "{_key_place(part.key, part.row.segment.text)}")')
            else:
                self.add('trouble.append("missing-key")')
                if self.module.traced:
                    self.add("t.warn((t.at(f),))")

    def _key(self, key: plan.Key, type_name: str) -> str:
        """A key; plain code remembers what of it a segment says."""
        frame = OneFrame(self.frame)
        if self.module.traced or any(a.container != self.frame.container for a in addresses_of(key)):
            if not self.module.traced:
                self._fields()
            return key_expression(key, type_name, frame, self.module)
        if isinstance(key, plan.ComposedKey):
            owners, texts = key_parts(key, frame)
            return f'compose("{type_name}", ({owners}), {self._by_line(f"({texts})")})'
        first = plan.IdentifierKey(key.source, key.prefer, None)
        said = self._by_line(key_expression(first, type_name, frame, self.module))
        return f"({said} or {self._key(key.otherwise, type_name)})" if key.otherwise else said

    def _by_line(self, expression: str) -> str:
        name = self.module.name("L")
        self._beside.append(f"def {name}(f):\n    return {expression}\n")
        return f"{self.module.constants.bind('M', 'memo', 'line', name)}(s)"

    def _fill(self, part: plan.SegmentPlan, variable: str) -> None:
        path = f", {variable}.ref" if self.module.traced else ""
        if part.using:
            the_map = self.module.maps[part.using]
            given = "".join(f", {_variable(name) if name else None}" for name in part.given)
            if self.module.traced:
                self.add(f"{the_map.function}({variable}.resource, {variable}.deleted, f, g{path}{given})")
            else:
                others = sorted(others_of(self.module, the_map))
                memory = self.module.constants.bind("M", "memo", "segment", the_map.function, others)
                self.add(f"{memory}({variable}, s, g{given})")
        if part.own is not None:
            own = plan.MapPlan(
                f"{self._message.name} {part.own.name}", f"{self._message.function}_{part.own.function}", part.own.file,
                part.own.source, part.own.is_segment, part.own.is_resource, part.own.branch, part.own.ignored,
            )  # fmt: skip
            self._beside.append(compile_map(self.module, own, part.names, shared=True))
            arguments = "".join(f", {_variable(name)}" for name in part.names)
            fields = "f" if self.module.traced or self._looks_inside(part.own) else "None"
            self.add(f"{own.function}({variable}.resource, {variable}.deleted, {fields}, g{path}{arguments})")


def others_of(module: Module, the_map: plan.MapPlan) -> set[tuple[str, int]]:
    """The fields of other segments that a map reads, through its keys and the maps that it uses too."""
    found: set[tuple[str, int]] = set()
    for member in the_map.branch.members:
        for write in writes_of(member):
            addresses = [*reads_of(write), *addresses_of(write.key), *write.row.display]
            found |= {(a.container, a.field) for a in addresses if a.field and a.container != the_map.source}
            if write.using in module.maps:
                found |= others_of(module, module.maps[write.using])
    return found


def _variable(name: str) -> str:
    return f"a_{python_name(name)}"


def _all(name: str) -> str:
    return f"k_{python_name(name)}"


def _names(rows: Iterable[plan.SegmentPlan | plan.GroupPlan]) -> list[str]:
    """The resources that are known in a group: its own, and those of groups in it that come once."""
    found: list[str] = []
    for part in rows:
        if isinstance(part, plan.GroupPlan):
            found += [] if part.each else _names(part.rows)
        elif part.row.name is not None:
            found.append(part.row.name.text)
    return found


def _shape(key: str, rows: Iterable[plan.SegmentPlan | plan.GroupPlan]) -> list[Any]:
    """A group as grouping.Shape reads it; the message itself is one that comes once and begins with nothing."""
    members = [part for part in rows if isinstance(part, plan.SegmentPlan)]
    inside = [part for part in rows if isinstance(part, plan.GroupPlan)]
    names = sorted({part.row.segment.text for part in members} - {n for one in inside for n in _seen(one)})
    single = sorted(set(names) - {part.row.segment.text for part in members if part.row.each or part.row.ignore})
    groups = [_with_beginning(part, _shape(f"{key}/{part.name}", part.rows)) for part in inside]
    return [key, False, [], names, single, groups]


def _seen(group: plan.GroupPlan) -> set[str]:
    """The segments of a group that comes once: rows outside of it see them, and do not claim them."""
    if group.each:
        return set()
    own = {part.row.segment.text for part in group.rows if isinstance(part, plan.SegmentPlan)}
    return own.union(*(_seen(part) for part in group.rows if isinstance(part, plan.GroupPlan)))


def _with_beginning(group: plan.GroupPlan, shape: list[Any]) -> list[Any]:
    return [shape[0], group.each, list(group.begins), *shape[3:]]


def _key_place(key: plan.Key, segment: str) -> str:
    """Where the message should have said a key: a segment and field."""
    return str(key.source.address) if isinstance(key, plan.IdentifierKey) else segment
