"""Literals that look like code: an author who writes them expects something to happen, and nothing would.

A literal is only ever bound as a constant, so none of this could run; but a name that reads ``PID-5.1`` in a patient's
record is worse than an error. Apart from `check_fhir`, which asks whether a literal fits its element.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhir_bridge.mapping.conditions import parse_address
from fhir_bridge.mapping.errors import Problem
from fhir_bridge.mapping.nodes import Literal, LiteralList, LiteralObject, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fhir_bridge.mapping.check_hl7 import Hl7Side

_PLAIN = "a literal as it is to be written; nothing in it is computed"
_BRACED = re.compile(r"\{([^{}]*)\}")
_SIGNS = (
    (re.compile(r"[$%]\w+(\.\w+)*"), "from: an address, where it is to be read from the message"),
    (re.compile(r"#[^#]+#|/[^/]+/"), "the value itself; what the guide describes in words is no value"),
    (re.compile(r"[A-Za-z_][\w.]*\(\)"), _PLAIN),
    (re.compile(r".*(__\w+__|\b(eval|exec|compile|getattr|system)\s*\(|\blambda\b.*:).*", re.DOTALL), _PLAIN),
    (re.compile(r".*(\$\{|\{\{|<%|`).*", re.DOTALL), _PLAIN),
    (re.compile(r".*(?:[\"']\s*\+|\+\s*[\"']).*", re.DOTALL), "template: text and {addresses} in turn"),
)


def check_literal(literal: Literal | None, hl7: Hl7Side, report: Callable[[Problem], None]) -> None:
    """Report each text of a literal that looks like code."""
    for text in _texts(literal):
        expected = _meant(text, hl7)
        if expected:
            report(Problem(text.at, f"{text.text!r}, which looks like code", expected))


def _texts(literal: Literal | None) -> Iterator[Text]:
    match literal:
        case Text():
            yield literal
        case LiteralList(items):
            for item in items:
                yield from _texts(item)
        case LiteralObject(pairs):
            for _, item in pairs:
                yield from _texts(item)


def _meant(text: Text, hl7: Hl7Side) -> str:
    if _is_address(text.text, text, hl7):
        return f"from: {text.text}, where it is to be read from the message"
    if any(_is_address(part, text, hl7) for part in _BRACED.findall(text.text)):
        return "template: in place of value, where addresses are to be read"
    return next((expected for sign, expected in _SIGNS if sign.fullmatch(text.text)), "")


def _is_address(word: str, text: Text, hl7: Hl7Side) -> bool:
    address = parse_address(word, text.at)
    if address is None or not (address.field or address.component):
        return False
    return hl7.is_segment(address.container) if address.field else hl7.is_datatype(address.container)
