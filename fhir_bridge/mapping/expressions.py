"""Addresses and conditions as Python expressions, and the constants that they need.

Only numbers, names that were checked, and names of constants get into the text of an expression; whatever a mapping
file says in quotes is bound as a constant. Statements are `compile_rows`' work.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.nodes import Address, All, AnyOf, Condition, In, Measure, Not, Valued

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_bridge.mapping.nodes import Row


class Constants:
    """What compiled code is bound to: names for constants, code tables, authorities and remembered conversions."""

    def __init__(self) -> None:
        self.bindings: dict[str, list[Any]] = {}
        self._known: dict[str, str] = {}

    def bind(self, letter: str, *spec: Any) -> str:
        """The name of a binding; equal ones share it."""
        text = json.dumps([letter, *spec], sort_keys=True)
        if text not in self._known:
            name = f"{letter}{len(self.bindings)}"
            self._known[text], self.bindings[name] = name, list(spec)
        return self._known[text]

    def text(self, text: str) -> str:
        """A text."""
        return self.bind("K", "text", text)

    def authority(self, type_name: str) -> str:
        """The feed's authority for a resource type."""
        return self.bind("A", "authority", type_name)

    def literal(self, value: Any) -> str:
        """An expression for a JSON value, a new one each time it is evaluated. Keys are names of FHIR elements."""
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)}: {self.literal(part)}" for key, part in value.items()) + "}"
        if isinstance(value, list):
            return f"[{', '.join(map(self.literal, value))}]"
        return self.text(value) if isinstance(value, str) else repr(value)


@dataclass(slots=True)
class Frame:
    """Where code stands: what its addresses are read from.

    In a segment (`is_segment`) that is ``f``, its fields, and ``g``, the message's segments; in a data type
    ``w``, the whole text, and ``c`` with ``n`` components. `loops` has the variable of the repetition at hand for a
    field; `hoisted` what was read before.
    """

    container: str
    is_segment: bool
    loops: dict[int, str] = field(default_factory=dict)
    hoisted: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    """The variable of another segment's field, where it was read before."""
    parts: dict[str, str] = field(default_factory=dict)
    """The list of components of a raw text (its expression), where several are read."""

    def raw(self, address: Address) -> str:
        """The raw text at an address: a whole field with repetitions, a component of one repetition; '' when absent."""
        text, guard = self._raw(address)
        return f'({text} if {guard} else "")' if guard else text

    def _raw(self, address: Address) -> tuple[str, str]:
        """The expression, and what must be valued for it to be worth while, '' for nothing."""
        if (address.container, address.field, address.component) == ("MSH", 9, 2):
            return "EVENT", ""
        if not address.field:
            return self._inside(address), ""
        own = address.container == self.container and self.is_segment
        base = f'field(g, "{address.container}", {address.field})' if not own else f"f[{address.field}]"
        if own and address.field in self.loops and not address.repetition:
            base, own = self.loops[address.field], False
        base = self.bases.get(base, base)
        guard = base if own and (address.repetition or address.component) else ""
        if address.repetition:
            base = f"rep({base}, {address.repetition})"
        if address.component and base in self.parts:
            listed = self.parts[base]
            base, guard = f'({listed}[{address.component - 1}] if len({listed}) >= {address.component} else "")', ""
        elif address.component:
            base = f"part({base}, COMP, {address.component})"
        if address.subcomponent:
            base = f"part({base}, SUB, {address.subcomponent})"
        return base, guard

    def _inside(self, address: Address) -> str:
        if not address.component:
            return "w"
        base = f'(c[{address.component - 1}] if n >= {address.component} else "")'
        return f"part({base}, SUB, {address.subcomponent})" if address.subcomponent else base

    def text(self, address: Address) -> str:
        """The decoded text at an address."""
        first = address.component == 1 and address.subcomponent in {0, 1}  # text() takes the first part anyway
        raw, guard = self._raw(dataclasses.replace(address, component=0, subcomponent=0) if first else address)
        if raw == "EVENT":
            return raw
        if first and not address.field:
            raw, guard = self._raw(address)
        if not guard and raw.startswith("f["):
            guard = raw
        expression = f'(text({raw}) if {guard} else "")' if guard else f"text({raw})"
        return self.hoisted.get(expression, expression)

    def valued(self, address: Address) -> str:
        """Whether something stands at an address."""
        raw, guard = self._raw(address)
        if raw.startswith("(c") and " if " in raw:
            raw, _, guard = raw[1:-1].removesuffix(' else ""').partition(" if ")
        elif not guard and raw.startswith("f["):
            guard = raw
        expression = f"({guard} and valued({raw}))" if guard else f"valued({raw})"
        return self.hoisted.get(expression, expression)

    def location(self, address: Address) -> str:
        """Traced code's place: (segment index, field, repetition, component, sub-component), cut at the end."""
        if not address.field:
            numbers = [number for number in (address.component, address.subcomponent) if number]
            return f"({', '.join(['*l', *map(str, numbers)])},)"
        own = self.is_segment and address.container == self.container
        where = "l" if own else f'(t.of(g, "{address.container}"),)'
        repetition = str(address.repetition or 1)
        if own and not address.repetition and address.field in self.loops:
            repetition = f"i_{self.loops[address.field]}"
        numbers_after = [str(number) for number in (address.component, address.subcomponent) if number]
        return f"({', '.join([f'*{where}', str(address.field), repetition, *numbers_after])},)"

    def separator(self, address: Address) -> str:
        """What divides the text at an address into parts."""
        if not address.field:
            return "SUB" if address.component else "s"
        return "SUB" if address.component else "COMP"

    def holds(self, condition: Condition, constants: Constants) -> str:
        """A condition as an expression."""
        match condition:
            case Valued(address):
                return self.valued(address)
            case In(address, values):
                return self._in(address, values - {""}, constants)
            case Measure(address, what, comparison, number):
                size = f"count({self.raw(address)})" if what == "COUNT" else f"len({self.text(address)})"
                return f"{size} {comparison} {number}"
            case Not(part):
                return f"not ({self.holds(part, constants)})"
            case All(parts):
                return "(" + " and ".join(self.holds(part, constants) for part in parts) + ")"
            case AnyOf(parts):
                return "(" + " or ".join(self.holds(part, constants) for part in parts) + ")"

    def _in(self, address: Address, values: frozenset[str], constants: Constants) -> str:
        if len(values) == 1:
            return f"{self.text(address)} == {constants.text(next(iter(values)))}"
        return f"{self.text(address)} in {constants.bind('K', 'set', sorted(values))}"

    def hoist(self, rows: Iterable[Row], looping: set[int]) -> list[str]:
        """Lines that read once what several conditions ask for, outside of any loop."""
        asked = [expression for row in rows if row.when for expression in self._asked(row.when.condition, looping)]
        lines = []
        for expression in dict.fromkeys(asked):
            if asked.count(expression) > 1 and expression != "EVENT":
                name = f"h{len(self.hoisted)}"
                lines.append(f"{name} = {expression}")
                self.hoisted[expression] = name
        return lines

    def _asked(self, condition: Condition, looping: set[int]) -> list[str]:
        match condition:
            case Not(part):
                return self._asked(part, looping)
            case All(parts) | AnyOf(parts):
                return [asked for part in parts for asked in self._asked(part, looping)]
            case Valued(address) | In(address, _) | Measure(address, _, _, _):
                if address.field in looping and address.container == self.container:
                    return []
                if isinstance(condition, Measure) and condition.what == "COUNT":
                    return []
                return [self.valued(address) if isinstance(condition, Valued) else self.text(address)]
