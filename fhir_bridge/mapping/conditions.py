"""The condition language: its parser, and the proof that two conditions exclude each other.

Grammar: or = and {OR and}; and = not {AND not}; not = NOT not | ( or ) | test; test = ADDRESS then VALUED, NOT VALUED,
[NOT] EQUALS word, [NOT] IN (word, …), or COUNT/LENGTH with EQUALS, NOT EQUALS, GREATER THAN, LESS THAN and a number.
It stands apart since maps and messages share it. Evaluation is compiled elsewhere.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from fhir_bridge.mapping.nodes import Address, All, AnyOf, Condition, In, Measure, Not, Valued

if TYPE_CHECKING:
    from fhir_bridge.mapping.errors import Position

_ADDRESS = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>[1-9]\d{0,3})(?:\[(?P<rep>[1-9]\d{0,3})\])?(?:\.(?P<c>[1-9]\d{0,3})(?:\.(?P<s>[1-9]\d{0,3}))?)?"
    r"|(?P<type>[A-Z][A-Z0-9]{1,2})(?:\.(?P<tc>[1-9]\d{0,3})(?:\.(?P<ts>[1-9]\d{0,3}))?)?"
)
_TOKEN = re.compile(r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[\w.:/+\-\[\]^]+)|(?P<sign>[(),]))')
_WORDS = frozenset(["VALUED", "NOT", "EQUALS", "IN", "COUNT", "LENGTH", "GREATER", "LESS", "THAN", "AND", "OR"])
_MAX_LENGTH = 2_000
_MAX_DEPTH = 30
_MAX_TERMS = 256
"""Conditions that unfold to more terms than this are not proved exclusive; a person would not read them either."""


class ConditionError(ValueError):
    """A condition that does not parse: what was found and what was expected."""

    def __init__(self, found: str, expected: str, nearest_of: tuple[str, ...] = ()) -> None:
        self.found, self.expected, self.nearest_of = found, expected, nearest_of
        super().__init__(f"found {found}; expected {expected}")


def parse_address(text: str, at: Position) -> Address | None:
    """An address such as ``PID-3[2].4.1`` or ``CX.4``, or None if the text is none."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    if match["segment"]:
        numbers = (match[name] for name in ("field", "rep", "c", "s"))
        field, repetition, component, subcomponent = (int(number or 0) for number in numbers)
        return Address(match["segment"], field, repetition, component, subcomponent, at)
    return Address(match["type"], 0, 0, int(match["tc"] or 0), int(match["ts"] or 0), at)


def parse_condition(text: str, at: Position) -> Condition:
    """Parse a condition. Raises ConditionError."""
    if len(text) > _MAX_LENGTH:
        raise ConditionError(f"{len(text)} characters", f"at most {_MAX_LENGTH}; a code table says more in less")
    parser = _Parser(_tokens(text), at)
    condition = parser.either()
    if parser.peek():
        raise ConditionError(parser.peek(), "AND, OR or the end", ("AND", "OR"))
    return condition


def addresses(condition: Condition) -> list[Address]:
    """Every address that a condition reads."""
    match condition:
        case Not(part):
            return addresses(part)
        case All(parts) | AnyOf(parts):
            return [address for part in parts for address in addresses(part)]
        case Valued(address) | In(address, _) | Measure(address, _, _, _):
            return [address]


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ConditionError(
                repr(text[place:].strip()[:20]), "an address, a word of the condition language or a value"
            )
        tokens.append(match.group().strip())
        place = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[str], at: Position) -> None:
        self._tokens, self._next, self._at, self._depth = tokens, 0, at, 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token

    def accept(self, word: str) -> bool:
        if self.peek() == word:
            self._next += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise ConditionError(self.peek() or "the end", word, (word,))

    def either(self) -> Condition:
        parts = [self.both()]
        while self.accept("OR"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def both(self) -> Condition:
        parts = [self.single()]
        while self.accept("AND"):
            parts.append(self.single())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def single(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ConditionError("parentheses and NOT nested too deeply", f"at most {_MAX_DEPTH} levels")
        try:
            return self.inner()
        finally:
            self._depth -= 1

    def inner(self) -> Condition:
        if self.accept("NOT"):
            return Not(self.single())
        if self.accept("("):
            inside = self.either()
            self.expect(")")
            return inside
        token = self.take()
        address = parse_address(token, self._at) if token not in _WORDS else None
        if address is None:
            raise ConditionError(token or "the end", "an address such as PID-3.5, NOT or (")
        return self.test(address)

    def test(self, address: Address) -> Condition:
        negated = self.accept("NOT")
        verb = self.take()
        condition: Condition
        if verb == "VALUED":
            condition = Valued(address)
        elif verb == "EQUALS":
            condition = In(address, frozenset({self.word()}))
        elif verb == "IN":
            condition = In(address, self.words())
        elif verb in {"COUNT", "LENGTH"} and not negated:
            return self.measure(address, verb)
        else:
            words = ("VALUED", "EQUALS", "IN", "COUNT", "LENGTH", "NOT")
            raise ConditionError(
                verb or "the end", "VALUED, EQUALS, IN, COUNT, LENGTH, or NOT before the first three", words
            )
        return Not(condition) if negated else condition

    def measure(self, address: Address, what: str) -> Condition:
        negated = self.accept("NOT")
        verb = self.take()
        if verb in {"GREATER", "LESS"} and not negated:
            self.expect("THAN")
            comparison = ">" if verb == "GREATER" else "<"
        elif verb == "EQUALS":
            comparison = "!=" if negated else "=="
        else:
            raise ConditionError(
                verb or "the end", "EQUALS, NOT EQUALS, GREATER THAN or LESS THAN", ("EQUALS", "GREATER", "LESS")
            )
        number = self.take()
        if not re.fullmatch(r"[0-9]{1,6}", number):
            raise ConditionError(number or "the end", "a whole number")
        return Measure(address, what, comparison, int(number))

    def words(self) -> frozenset[str]:
        self.expect("(")
        values = {self.word()}
        while self.accept(","):
            values.add(self.word())
        self.expect(")")
        return frozenset(values)

    def word(self) -> str:
        token = self.take()
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if not token or token in _WORDS or token in {"(", ")", ","}:
            raise ConditionError(token or "the end", "a value; words of the language stand in double quotes")
        return token


def exclusive(one: Condition, other: Condition) -> bool:
    """Whether the two can be proved never to hold together."""
    ones, others = _terms(one, positive=True), _terms(other, positive=True)
    if ones is None or others is None:
        return False
    return all(_contradicts(first + second) for first, second in product(ones, others))


_Atom = tuple[Condition, bool]


def _terms(condition: Condition, *, positive: bool) -> list[list[_Atom]] | None:
    """The condition as an OR of ANDs of (test, whether it holds); None when that grows too long."""
    match condition:
        case Not(part):
            return _terms(part, positive=not positive)
        case All(parts) | AnyOf(parts):
            unfolded = [_terms(part, positive=positive) for part in parts]
            known = [terms for terms in unfolded if terms is not None]
            if len(known) < len(unfolded):
                return None
            if isinstance(condition, AnyOf) == positive:
                joined = [term for terms in known for term in terms]
            else:
                if _product_size(known) > _MAX_TERMS:
                    return None
                joined = [[atom for term in combined for atom in term] for combined in product(*known)]
            return joined if len(joined) <= _MAX_TERMS else None
        case _:
            return [[(condition, positive)]]


def _product_size(groups: list[list[list[_Atom]]]) -> int:
    size = 1
    for group in groups:
        size *= len(group)
    return size


def _contradicts(term: list[_Atom]) -> bool:
    return any(_opposed(one, other) for place, one in enumerate(term) for other in term[place + 1 :])


def _opposed(one: _Atom, other: _Atom) -> bool:
    match one, other:
        case ((Valued(a), x), (Valued(b), y)):
            return (x and not y and _within(a, b)) or (y and not x and _within(b, a))
        case ((In(a, _), True), (Valued(b), False)) | ((Valued(b), False), (In(a, _), True)):
            return _within(a, b)
        case ((In(a, values), True), (In(b, others), True)):
            return a == b and not values & others
        case ((In(a, values), True), (In(b, others), False)) | ((In(b, others), False), (In(a, values), True)):
            return a == b and values <= others
        case ((Measure(a, what, comparison, n), x), (Measure(b, kind, other_comparison, m), y)):
            return a == b and what == kind and _apart(comparison, n, x, other_comparison, m, y)
    return False


def _within(inner: Address, outer: Address) -> bool:
    """Whether a value at `inner` means that `outer` is valued too."""
    if (inner.container, inner.field, inner.repetition) != (outer.container, outer.field, outer.repetition):
        return False
    if outer.component in {0, inner.component}:
        return not outer.component or outer.subcomponent in {0, inner.subcomponent}
    return False


def _apart(one: str, n: int, x: bool, other: str, m: int, y: bool) -> bool:
    """Whether no number satisfies both; any witness lies at n, m or beside them."""
    holds = {"==": int.__eq__, "!=": int.__ne__, ">": int.__gt__, "<": int.__lt__}
    witnesses = {k for base in (n, m) for k in (base - 1, base, base + 1) if k >= 0}
    return not any(holds[one](k, n) is x and holds[other](k, m) is y for k in witnesses)
