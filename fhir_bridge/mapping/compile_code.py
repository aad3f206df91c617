"""Where compiled code is put together: what a set's functions share, lines and blocks, and how a row's source is read.

`compile_values` adds how a source becomes a value, `compile_rows` what is written. Nothing here knows FHIR types.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.nodes import Address, python_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fhir_bridge.mapping import plan
    from fhir_bridge.mapping.expressions import Constants, Frame
    from fhir_bridge.mapping.nodes import Row


@dataclass(slots=True)
class Module:
    """What all functions of a set share while they are compiled: maps, constants, the table of rows, names."""

    traced: bool
    maps: dict[str, plan.MapPlan]
    constants: Constants
    rows: list[list[Any]] = field(default_factory=list)
    names: int = 0

    def row(self, map_name: str, write: plan.Write) -> int:
        """The number of a row, for traced code: where it stands, what it writes, and when."""
        row = write.row
        self.rows.append([map_name, row.at.file, row.at.line, str(row.to), row.when.text if row.when else ""])
        return len(self.rows) - 1

    def name(self, letter: str) -> str:
        """A new name for a function."""
        self.names += 1
        return f"{letter}{self.names}"


@dataclass(slots=True)
class Target:
    """The object that rows write to: its variable, that of its path (traced), the register that a deletion names."""

    name: str
    path: str
    register: str = ""
    deletes: bool = True


@dataclass(slots=True)
class Raw:
    """A raw text at hand: its variable, its place (traced), what divides it, and whether it may hold repetitions."""

    variable: str
    place: str
    separator: str = "COMP"
    decoded: bool = False
    repeats: bool = False

    @property
    def single(self) -> str:
        """One repetition of it."""
        if not self.repeats:
            return self.variable
        return f"{self.variable} if REP not in {self.variable} else first({self.variable})"


class CodeWriter:
    """Lines of one function, and blocks in which a row's source is valued."""

    def __init__(self, module: Module, frame: Frame) -> None:
        self.module, self.frame = module, frame
        self.lines: list[str] = []
        self._depth, self._count = 1, 0
        self._deletions: set[tuple[int, str, str]] = set()

    def add(self, *lines: str) -> None:
        """Add lines at the present depth."""
        self.lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def block(self, line: str) -> Iterator[None]:
        """A line that opens a block, and the block."""
        self.add(line)
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self, letter: str) -> str:
        """A new variable."""
        self._count += 1
        return f"{letter}{self._count}"

    def holds(self, write: plan.Write) -> str:
        """A row's condition as an expression, '' when it has none."""
        when = write.row.when
        return self.frame.holds(when.condition, self.module.constants) if when else ""

    @contextmanager
    def conditional(self, write: plan.Write) -> Iterator[None]:
        """A block in which a row's condition holds."""
        if write.row.when is None:
            yield
        else:
            with self.block(f"if {self.holds(write)}:"):
                yield

    def own(self, address: Address) -> bool:
        """Whether an address is in this segment."""
        return self.frame.is_segment and address.container == self.frame.container

    @contextmanager
    def each(self, number: int, target: Target, register: str) -> Iterator[str]:
        """A loop over the valued repetitions of a field; a field that is ``""`` deletes."""
        variable, raw = self.variable("x"), self.variable("x")
        with self.block(f"if ({raw} := f[{number}]):"):
            if target.deletes:
                self._delete(f"{raw} == NULL", register, number)
            plain = f"for {variable} in {raw}.split(REP) if REP in {raw} else ({raw},):"
            traced = f"for i_{variable}, {variable} in enumerate({raw}.split(REP), 1):"
            with (
                self.block(traced if self.module.traced else plain),
                self.block(f"if {variable} and {variable} != NULL:"),
            ):
                self.frame.loops[number] = variable
                yield variable
                del self.frame.loops[number]

    def split(self, base: str, variable: str, addresses: Iterable[Address]) -> None:
        """Cut a text into components once, where several of them are read."""
        if sum(address.component > 0 for address in addresses) > 1:
            name = self.variable("c")
            self.add(f"{name} = {variable}")
            self.frame.parts[base] = name

    @contextmanager
    def narrow(self, address: Address, variable: str) -> Iterator[str]:
        """The part of a repetition that an address names."""
        if not address.component:
            yield variable
            return
        narrow = self.variable("x")
        with self.block(f"if ({narrow} := {self.frame.raw(address)}):"):
            yield narrow

    @contextmanager
    def source(self, write: plan.Write, target: Target, register: str) -> Iterator[Raw]:
        """A block in which the row's condition holds and its source is valued."""
        row = write.row
        if row.resource is not None:
            with self.conditional(write):
                yield Raw(f"a_{python_name(row.resource.text)}", "l", decoded=True)
        elif row.template or row.join is not None:
            with self.conditional(write):
                yield from self._joined(write)
        elif len(row.source) > 1:
            with self.conditional(write):
                yield from self._first_of(row.source)
        elif row.pick and self.own(row.source[0]):
            yield from self._picked(write, target, register)
        elif self.own(row.source[0]) and row.source[0].field not in self.frame.loops:
            yield from self._field(write, target, register)
        else:
            yield from self._part(write)

    def _part(self, write: plan.Write) -> Iterator[Raw]:
        address, variable = write.row.source[0], self.variable("x")
        with (
            self.conditional(write),
            self.block(f"if ({variable} := {self.frame.raw(address)}) and {variable} != NULL:"),
        ):
            outside = bool(address.field) and not self.own(address) and not address.component
            yield Raw(variable, self.frame.location(address), self.frame.separator(address), repeats=outside)

    def _field(self, write: plan.Write, target: Target, register: str) -> Iterator[Raw]:
        address, raw, condition = write.row.source[0], self.variable("x"), self.holds(write)
        place, separator = self.frame.location(address), self.frame.separator(address)
        deletes = target.deletes and write.default is None
        narrow = self._narrowed(f"f[{address.field}]", address)
        also = f" and {condition}" if condition else ""
        if address.component and f"f[{address.field}]" in self.frame.parts:
            if deletes and (address.field, register, condition) not in self._deletions:
                self._deletions.add((address.field, register, condition))
                self._delete(f"f[{address.field}] == NULL{also}", register, address.field)
            with self.block(f"if ({raw} := {narrow}){also}:"):
                yield Raw(raw, place, separator)
            return
        with self.block(f"if ({raw} := f[{address.field}]){also}:"):
            if deletes:
                self._delete(f"{raw} == NULL", register, address.field)
            elif self.module.traced and write.default is not None:  # the default is what became of it
                with self.block(f"if {raw} == NULL:"):
                    self.add(f"t.used((*l, {address.field}))")
            with self.block("else:" if deletes else f"if {raw} != NULL:"):
                narrow = self._narrowed(raw, address)
                if narrow == raw:
                    yield Raw(raw, place, separator, repeats=True)
                    return
                variable = self.variable("x")
                with self.block(f"if ({variable} := {narrow}):"):
                    yield Raw(variable, place, separator)

    def _delete(self, test: str, register: str, number: int) -> None:
        with self.block(f"if {test}:"):
            self.add(f"d.append({self.module.constants.text(register)})")
            if self.module.traced:
                self.add(f"t.used((*l, {number}))")

    def _picked(self, write: plan.Write, target: Target, register: str) -> Iterator[Raw]:
        address, variable = write.row.source[0], self.variable("x")
        raw, last = f"reps(f[{address.field}])", write.row.pick == "last"
        if self.module.traced:
            numbered = f"enumerate({raw}, 1)"
            line = f"for i_{variable}, {variable} in {f'reversed(list({numbered}))' if last else numbered}:"
        else:
            line = f"for {variable} in {f'reversed({raw})' if last else raw}:"
        with self.block(f"if f[{address.field}]:"):
            if target.deletes and write.default is None:
                self._delete(f"f[{address.field}] == NULL", register, address.field)
            self.frame.loops[address.field] = variable
            with (
                self.block(line),
                self.block(f"if {variable} and {variable} != NULL:"),
                self.conditional(write),
                self.narrow(address, variable) as narrow,
            ):
                yield Raw(narrow, self.frame.location(address), self.frame.separator(address))
                with self.block("if v is not None:"):
                    self.add("break")
            del self.frame.loops[address.field]

    def _first_of(self, addresses: tuple[Address, ...]) -> Iterator[Raw]:
        variable = self.variable("x")
        raws = [self.frame.raw(address) for address in addresses]
        if self.module.traced:
            pairs = ", ".join(f"({raw}, {self.frame.location(a)})" for raw, a in zip(raws, addresses, strict=True))
            place = f"l_{variable}"
            self.add(f"{variable}, {place} = t.first_valued(first_valued, {pairs})")
        else:
            place = "l"
            self.add(f"{variable} = first_valued({', '.join(raws)})")
        with self.block(f"if {variable}:"):
            yield Raw(variable, place, self.frame.separator(addresses[0]))

    def _joined(self, write: plan.Write) -> Iterator[Raw]:
        row, variable = write.row, self.variable("x")
        addresses = row.source or tuple(part for part in row.template if isinstance(part, Address))
        names = {address: self.variable("x") for address in addresses}
        for address, name in names.items():
            self.add(f"{name} = {self._repetitions(row) or self.frame.text(address)}")
        if row.join is not None:
            parts = "".join(f"{name}, " for name in names.values())
            self.add(f"{variable} = {self.module.constants.text(row.join)}.join(filter(None, ({parts})))")
            test = f"if {variable}:"
        else:
            pieces = [names[p] if isinstance(p, Address) else self.module.constants.text(p) for p in row.template]
            test = f"if {' and '.join(names.values())}:"
            self.add(f"{variable} = {' + '.join(pieces)}")
        with self.block(test):
            yield Raw(variable, self.frame.location(addresses[0]), decoded=True)

    def _repetitions(self, row: Row) -> str:
        """All repetitions of a field as one text, where a row joins a single source; '' elsewhere."""
        address = row.source[0] if len(row.source) == 1 else None
        if address is None or not self.own(address) or address.repetition or address.component:
            return ""
        return f"texts(f[{address.field}], {self.module.constants.text(row.join or '')})"

    def _narrowed(self, raw: str, address: Address) -> str:
        """The part of a field that an address names, from the field's variable."""
        if address.component and not address.repetition and f"f[{address.field}]" in self.frame.parts:
            return self.frame.raw(address)
        text = f"rep({raw}, {address.repetition})" if address.repetition else raw
        if address.component:
            text = f"part({text}, COMP, {address.component})"
        return f"part({text}, SUB, {address.subcomponent})" if address.subcomponent else text
