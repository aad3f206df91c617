"""The HL7 side of the checker: whether segments, fields and components exist, of what type, and repeating or not.

Looks in HL7's definitions through `definitions.Hl7Definitions`, which still know withdrawn fields (PID-19). Knows
nothing of FHIR.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fhir_bridge.mapping.errors import Problem
from fhir_bridge.mapping.runtime import MOST_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.mapping.definitions import Hl7Definitions
    from fhir_bridge.mapping.nodes import Address

    Report = Callable[[Problem], None]

_SAME = (
    frozenset({"CE", "CWE", "CNE", "CF", "IS", "ID", "CM"}),
    frozenset({"XCN", "CN", "PPN"}),
    frozenset({"XPN", "PN"}),
    frozenset({"XAD", "AD", "SAD"}),
    frozenset({"XTN", "TN"}),
    frozenset({"EI", "EIP"}),
    frozenset({"DTM", "TS", "DT"}),
)
"""Types that took each other's place from version to version, so that one map reads them all."""


class Hl7Side:
    """Looks addresses up, and reports those that are wrong."""

    def __init__(self, definitions: Hl7Definitions, report: Report) -> None:
        self._report = report
        self._segment = cache(definitions.segment)
        self._datatype = cache(definitions.datatype)

    def is_segment(self, name: str) -> bool:
        """Whether HL7 has a segment of this name, or an overlay declares it (Z…)."""
        return self._segment(name) is not None

    def is_datatype(self, name: str) -> bool:
        """Whether HL7 has a data type of this name."""
        return self._datatype(name) is not None

    def parts(self, datatype: str) -> bool:
        """Whether a data type has components."""
        return bool(self._datatype(datatype))

    def resolve(self, address: Address) -> tuple[str, bool]:
        """The data type at an address ('' when local or unknown), and whether its field repeats."""
        if not address.field:
            return self._inside(address, address.container, address.component, address.subcomponent), False
        if address.container == "MSH" and address.field < 3:
            self._wrong(address, f"{address}, which names the delimiters", "a field from MSH-3 on")
            return "", False
        fields = self._segment(address.container)
        if address.field > MOST_FIELDS:
            self._wrong(address, str(address), f"a field up to {MOST_FIELDS}")
        if fields is None:
            expected = "a segment of HL7 v2, or one that an overlay declares"
            self._wrong(address, f"no segment {address.container}", expected)
            return "", False
        part = fields.get(address.field)
        if part is None:
            self._wrong(address, f"no field {address}", f"{address.container}-1 to {address.container}-{max(fields)}")
            return "", False
        datatype = self._inside(address, part.datatype, address.component, address.subcomponent)
        return datatype, part.repeats and not address.repetition

    def matches(self, datatype: str, wanted: str) -> bool:
        """Whether a map of HL7 type `wanted` can read a source of this type; an unknown type matches all."""
        return datatype in {"", "varies", "VARIES", wanted} or any({datatype, wanted} <= family for family in _SAME)

    def _inside(self, address: Address, datatype: str, *numbers: int) -> str:
        for number in numbers:
            if not number:
                return datatype
            parts = self._datatype(datatype)
            if datatype in {"", "varies", "VARIES"}:
                return ""
            if parts is None:
                self._wrong(address, f"no data type {datatype}", "a data type of HL7 v2")
                return ""
            if not parts:
                if number == 1:
                    return datatype
                self._wrong(address, str(address), f"{datatype} at {address.container}, which has no components")
                return ""
            part = parts.get(number)
            if part is None:
                self._wrong(address, f"no component {number} in {address}", f"{datatype}.1 to {datatype}.{max(parts)}")
                return ""
            datatype = part.datatype
        return datatype

    def _wrong(self, address: Address, found: str, expected: str) -> None:
        self._report(Problem(address.at, found, expected))
