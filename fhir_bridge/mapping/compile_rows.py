"""Maps as Python functions: straight-line code that reads fields and writes one FHIR object, plain or traced.

A segment map becomes ``NAME(o, d, f, g)``: writes into the resource `o`, notes deletions in `d`, reads the fields `f`
and the segments `g` of the message. A data type map becomes ``NAME(o, w, s, k)``: writes into `o` what the text `w`,
divided by `s`, says, and gives it back or None; `k` is the feed's authority. Traced, both also get `p`, the FHIR path
of `o`, and data type maps `l`, the place of `w`. Messages are `compile_messages`' work.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import plan
from fhir_bridge.mapping.check_rows import owners_of, writes_of
from fhir_bridge.mapping.compile_code import Module, Raw, Target
from fhir_bridge.mapping.compile_values import ValueWriter, addresses_of, reads_of
from fhir_bridge.mapping.nodes import Address, python_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_bridge.mapping.definitions import FhirElement


def compile_map(module: Module, the_map: plan.MapPlan, names: tuple[str, ...] = (), *, shared: bool = False) -> str:
    """The source of a map's function, after those that it needs; `names` are resources that it takes as arguments.

    `shared` says that it writes into a resource whose lists and objects may be shared.
    """
    writer = _MapWriter(module, the_map, the_map.branch.type)
    writer.shared = shared
    return writer.write(names)


class _MapWriter(ValueWriter):
    shared = False

    def write(self, names: tuple[str, ...]) -> str:
        traced, branch = self.module.traced, self.map.branch
        if self.map.is_segment:
            arguments = ["o", "d", "f", "g", *(["p"] if traced else []), *(f"a_{python_name(name)}" for name in names)]
            self.add(*(["l = (t.at(f),)"] if traced else []))
        else:
            arguments = ["o", "w", "s", "k", *(["p", "l"] if traced else [])]
            self.add("c = w.split(s)", "n = len(c)")
        writes = [write for member in branch.members for write in writes_of(member)]
        looping = _looping(branch)
        self._read_others(writes)
        if self.map.is_segment:
            self._split_fields(writes, looping)
        self.add(*self.frame.hoist([write.row for write in writes], looping))
        self._ignore()
        target = Target("o", "p", deletes=self.map.is_segment)
        if self.map.is_resource:
            self._members(branch, target, sourced=True)
            self._members(branch, target, sourced=False)
        else:
            self._existing(branch, target)
        self.add("return o")
        function = f"def {self.map.function}({', '.join(arguments)}):\n" + "\n".join(self.lines) + "\n"
        return "\n".join([*self.beside, function])

    def _read_others(self, writes: list[plan.Write]) -> None:
        """Fields of other segments that several rows ask for are read once."""
        asked = [f'field(g, "{a.container}", {a.field})' for write in writes for a in reads_of(write) if _far(self, a)]
        for base in dict.fromkeys(asked):
            if asked.count(base) > 1:
                self.frame.bases[base] = variable = self.variable("y")
                self.add(f"{variable} = {base}")

    def _split_fields(self, writes: list[plan.Write], looping: set[int]) -> None:
        """Fields of which several components are read, outside of loops, are cut once."""
        addresses = [address for write in writes for address in reads_of(write) if self.own(address)]
        for number in sorted({address.field for address in addresses} - looping):
            cut = f"f[{number}].split(REP, 1)[0].split(COMP)"
            self.split(f"f[{number}]", cut, (a for a in addresses if a.field == number))

    def _ignore(self) -> None:
        if not self.module.traced:
            return
        for address in self.map.ignored:
            if address.field and not address.component and not address.repetition:
                self.add(f"t.ignored((*l, {address.field}))")
            elif self.own(address) or not address.field:
                self.add(f"t.ignored({self.frame.location(address)})")

    # objects

    def _existing(self, branch: plan.Branch, target: Target) -> None:
        """An object that exists once a row with a source wrote something; else None is given back."""
        if _has_source(branch):
            self._members(branch, target, sourced=True)
            with self.block("if not o:"):
                self.add("return None")
        self._members(branch, target, sourced=False)
        if branch.needs:
            with self.block(f"if {_lacks('o', branch)}:"):
                self.add('trouble.append("incomplete")', "return None")

    def _members(self, branch: plan.Branch, target: Target, *, sourced: bool) -> None:
        """The members that take something from the message; then those that complete what stands."""
        for member in branch.members:
            match member:
                case plan.Single(element, writes):
                    for write in writes:
                        self._single(write, target, element.name, sourced=sourced)
                case plan.Append(element, write):
                    if write.sourced == sourced:
                        self._append(write, target, element.name)
                case plan.Child(element, inner):
                    if sourced == _has_source(inner):
                        self._child(inner, target, element)
                case plan.Slot(element, inner, number):
                    if sourced == _has_source(inner):
                        self._slot(inner, target, element.name, number)

    def _child(self, branch: plan.Branch, target: Target, element: FhirElement) -> None:
        inner = Target(self.variable("o"), self.variable("p"), _register(target, element), target.deletes)
        with self._guarded(branch):
            held = f'{target.name}.get("{element.name}") or {{}}'
            self.add(f"{inner.name} = {f'dict({held})' if self.shared else held}")
            if self.module.traced:
                self.add(f'{inner.path} = {target.path} + ".{element.name}"')
            self._fill(branch, inner, f'{target.name}["{element.name}"] = {inner.name}')

    @contextmanager
    def _guarded(self, branch: plan.Branch) -> Iterator[None]:
        """A block that is skipped where the one field that an object takes all from is empty."""
        rows = [write.row for member in branch.members for write in writes_of(member) if write.sourced]
        fields = {row.source[0].field if len(row.source) == 1 and self.own(row.source[0]) else 0 for row in rows}
        number = next(iter(fields)) if len(fields) == 1 else 0
        if number and number not in self.frame.loops:
            with self.block(f"if f[{number}]:"):
                yield
        else:
            yield

    def _slot(self, branch: plan.Branch, target: Target, name: str, number: int) -> None:
        register = _slot_register(branch, target, name)
        if not number or number in self.frame.loops:
            with self._guarded(branch):
                self._slot_once(branch, target, name, register)
            return
        if self._slot_at_once(branch, target, name, register, number):
            return
        with self.each(number, target, register) as variable:
            writes = [write for member in branch.members for write in writes_of(member)]
            addresses = [a for write in writes for a in reads_of(write) if self.own(a) and a.field == number]
            self.split(variable, f"{variable}.split(COMP)", addresses)
            self._slot_once(branch, target, name, register)

    def _slot_at_once(self, branch: plan.Branch, target: Target, name: str, register: str, number: int) -> bool:
        """In plain code, a slot that takes all from one repeating field is a function of a repetition: remembered."""
        writes = [write for member in branch.members for write in writes_of(member)]
        addresses = [address for write in writes for address in reads_of(write)]
        for write in writes:
            addresses += [a for a in (*addresses_of(write.key), *write.row.display) if a.field]
        uses_segment = any(self.module.maps[write.using].is_segment for write in writes if write.key)
        uses_segment |= any(write.row.resource is not None or owners_of(write.key) for write in writes)
        if self.module.traced or uses_segment or branch.needs:
            return False
        if any(not self.own(a) or a.field != number or a.repetition for a in addresses):
            return False
        inner = _MapWriter(self.module, self.map, self.map.branch.type)
        inner.frame.loops[number] = "x"
        inner.add("o = {}")
        inner.split("x", "x.split(COMP)", addresses)
        inner._existing(branch, Target("o", "p", deletes=False))
        inner.add("return o")
        function = self.module.name("S")
        self.beside += [*inner.beside, f"def {function}(x):\n" + "\n".join(inner.lines) + "\n"]
        self._take_all(target, name, register, number, self.module.constants.bind("M", "memo", "all", function, "COMP"))
        return True

    def _slot_once(self, branch: plan.Branch, target: Target, name: str, register: str) -> None:
        inner = Target(self.variable("o"), self.variable("p"), register, target.deletes)
        self.add(f"{inner.name} = {{}}")
        if self.module.traced:
            self.add(f'{inner.path} = t.item({target.path}, "{name}", {target.name})')
        self._fill(branch, inner, self._adding(target, name, inner.name))

    def _adding(self, target: Target, name: str, value: str) -> str:
        """Adds to a list of an object."""
        if self.shared and target.name == "o":
            return f'put(o, "{name}", {value})'
        return f'{target.name}.setdefault("{name}", []).append({value})'

    def _fill(self, branch: plan.Branch, inner: Target, keep: str) -> None:
        """Fills an object, and keeps it if it exists and is whole."""
        traced = self.module.traced
        if traced:
            self.add(f"m_{inner.name} = t.mark()")
        has_source = _has_source(branch)
        self._members(branch, inner, sourced=has_source)
        with self.block(f"if {inner.name}:"):
            if has_source:
                self._members(branch, inner, sourced=False)
            if not branch.needs:
                self.add(keep)
                return
            with self.block(f"if {_lacks(inner.name, branch)}:"):
                self.add('trouble.append("incomplete")')
                if traced:
                    self.add(f"t.back(m_{inner.name})", "t.warn(l)")
            with self.block("else:"):
                self.add(keep)

    # rows

    def _single(self, write: plan.Write, target: Target, name: str, *, sourced: bool) -> None:
        if not write.sourced:
            if not sourced:
                with self.conditional(write):
                    self._constant(write, target, name, write.literal)
        elif sourced:
            with self.source(write, target, _named(target, name)) as raw:
                self.put(write, raw, f'{target.path} + ".{name}"', f'{target.name}["{name}"] = v')
        elif write.default is not None:
            with self.conditional(write):
                self._default(write, target, name)

    def _default(self, write: plan.Write, target: Target, name: str) -> None:
        if isinstance(write.default, plan.FeedAuthority):
            with self.block(f'if "{name}" not in {target.name} and {self.authority}:'):
                self.add(f'{target.name}["{name}"] = {self.authority}')
                if self.module.traced:
                    self.add(self.wrote(write, f'{target.path} + ".{name}"', "None"))
        else:
            with self.block(f'if "{name}" not in {target.name}:'):
                self._constant(write, target, name, write.default)

    def _constant(self, write: plan.Write, target: Target, name: str, value: Any) -> None:
        self.add(f'{target.name}["{name}"] = {self.module.constants.literal(value)}')
        if self.module.traced:
            self.add(self.wrote(write, f'{target.path} + ".{name}"', "None"))

    def _append(self, write: plan.Write, target: Target, name: str) -> None:
        put = self._adding(target, name, "v")
        path = f't.item({target.path}, "{name}", {target.name})'
        if not write.sourced:
            with self.conditional(write):
                if self.module.traced:
                    self.add(self.wrote(write, path, "None"))
                self.add(self._adding(target, name, self.module.constants.literal(write.literal)))
        elif self._loops(write):
            if self._all_at_once(write, target, name):
                return
            address = write.row.source[0]
            each = self.each(address.field, target, _named(target, name))
            with each as variable, self.conditional(write), self.narrow(address, variable) as narrow:
                raw = Raw(narrow, self.frame.location(address), self.frame.separator(address))
                self.put(write, raw, path, put)
        else:
            with self.source(write, target, _named(target, name)) as raw:
                self.put(write, raw, path, put)

    def _all_at_once(self, write: plan.Write, target: Target, name: str) -> bool:
        """In plain code, a field whose repetitions all become objects, come what may, is remembered whole."""
        row = write.row
        if self.module.traced or row.when or row.source[0].component or write.key:
            return False
        convert = self.convert(write, Raw("x", ""))
        if not convert.endswith("(x)") or not convert.startswith("M"):
            return False
        memory = self.module.constants.bind("M", "memo", "all", convert[:-3], "COMP")
        self._take_all(target, name, _named(target, name), row.source[0].field, memory)
        return True

    def _take_all(self, target: Target, name: str, register: str, number: int, memory: str) -> None:
        """Puts the values of all repetitions of a field at the end of a list."""
        variable = self.variable("x")
        with self.block(f"if ({variable} := f[{number}]):"):
            if target.deletes:
                with self.block(f"if {variable} == NULL:"):
                    self.add(f"d.append({self.module.constants.text(register)})")
            with self.block(f"if (v := {memory}({variable})):"):
                self.add(f'{target.name}["{name}"] = {target.name}["{name}"] + v if "{name}" in {target.name} else v')

    def _loops(self, write: plan.Write) -> bool:
        """Whether a row with [] takes every repetition of a field of this segment."""
        row = write.row
        if len(row.source) != 1 or row.join is not None or row.pick:
            return False
        address = row.source[0]
        return self.own(address) and not address.repetition and address.field not in self.frame.loops


def _far(writer: ValueWriter, address: Address) -> bool:
    """Whether an address is in another segment; the event is known without looking."""
    event = (address.container, address.field, address.component) == ("MSH", 9, 2)
    return bool(address.field) and not writer.own(address) and not event


def _has_source(branch: plan.Branch) -> bool:
    return any(write.sourced for member in branch.members for write in writes_of(member))


def _lacks(name: str, branch: plan.Branch) -> str:
    """The test that an object lacks a required element."""
    tests = [" and ".join(f'"{element}" not in {name}' for element in names) for names in branch.needs]
    return " or ".join(f"({test})" for test in tests)


def _looping(branch: plan.Branch) -> set[int]:
    """The fields that some row reads a repetition at a time."""
    found: set[int] = set()
    for member in branch.members:
        if isinstance(member, plan.Slot):
            found |= {member.field} | _looping(member.branch)
        elif isinstance(member, plan.Child):
            found |= _looping(member.branch)
        elif isinstance(member, plan.Append):
            found |= {address.field for address in member.write.row.source}
        else:
            found |= {write.row.source[0].field for write in member.writes if write.row.pick}
    return found - {0}


def _register(target: Target, element: FhirElement) -> str:
    """What a deletion inside of an object names: ``period.end``; other objects are one register."""
    if target.register or not ("." in element.type or element.type == "Period"):
        return target.register or element.name
    return f"{element.name}."


def _named(target: Target, name: str) -> str:
    """What a deletion of an element names: itself, in an object between its path, else the register it is in."""
    return target.register + name if target.register.endswith(".") else target.register or name


def _slot_register(branch: plan.Branch, target: Target, name: str) -> str:
    """What a deletion inside of a slot names: an extension by its url, a participant by its type."""
    if target.register:
        return _named(target, name)
    if name == "extension" and isinstance(url := _literal(branch, "url"), str):
        return f"extension|{url}"
    kind = _literal(branch, "type") if name == "participant" else None
    if isinstance(kind, dict) and (codings := kind.get("coding")):
        return f"participant|{codings[0].get('code', '')}"
    return name


def _literal(branch: plan.Branch, name: str) -> Any:
    for member in branch.members:
        if member.element.name == name:
            for write in writes_of(member):
                if write.literal is not None:
                    return write.literal
    return None
