"""Text → nodes: fhirpathpy's grammar parses, and what was parsed is checked against FHIR R4 as it is read.

Only the checker and a first load come here (a later one finds the nodes in the cache): this module alone needs antlr.
What is wrong is a Fault with its place in the text; what is right but outside the subset becomes a Foreign node.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from fhirpathpy.engine.invocations import invocation_registry
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

from fhir_bridge.source import nearest
from fhir_bridge.tasks.durations import BadDuration, duration
from fhir_bridge.tasks.fhirpath import functions, model, nodes
from fhir_bridge.tasks.fhirpath.faults import A_CONDITION, CONDITION, MOMENT, Fault, FaultyExpression, Outside, Typed
from fhir_bridge.tasks.fhirpath.model import BOOLEAN

NO_CLOCK = frozenset({"today", "now", "timeOfDay"})
REFUSED = {
    **dict.fromkeys(NO_CLOCK, "elapsed(anchor, '24 h'), the only time in a rule"),
    "trace": "no tracing: values must not reach a log",
}
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def read(text: str, variables: dict[str, str | None], resource: str, gives: str) -> nodes.Node:
    """The nodes of an expression over variables (name → type) and a resource. Raises FaultyExpression."""
    tree = _parse(text)
    reader = _Reader(variables, resource)
    reader.survey(tree)
    try:
        typed = reader.expression(tree, Typed(nodes.This(), resource))
        reader.require(tree, typed, gives)
        node = typed.node
    except Outside:
        node = nodes.Foreign(text, tuple(sorted(reader.used)))
    if reader.faults:
        raise FaultyExpression(sorted(set(reader.faults), key=lambda fault: fault.offset))
    return node


class _Errors(ErrorListener):  # type: ignore[misc] # antlr has no types
    """Turns antlr's reports into faults; its own listener prints them."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")

    def syntaxError(self, _recognizer: Any, symbol: Any, line: int, column: int, _msg: str, _e: Any) -> NoReturn:  # noqa: N802 - antlr's name
        offset = sum(len(passed) + 1 for passed in self.lines[: line - 1]) + column
        token = symbol.text if symbol is not None else self.lines[line - 1][column : column + 1]
        found = "the end" if token in ("<EOF>", "", None) else token
        raise FaultyExpression([Fault(offset, found, "FHIRPath")])


def _parse(text: str) -> Any:
    errors = _Errors(text)
    lexer = FHIRPathLexer(InputStream(text))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for recognizer in (lexer, parser):
        recognizer.removeErrorListeners()
        recognizer.addErrorListener(errors)
    return parser.entireExpression().expression()  # type: ignore[no-untyped-call]


def _arguments(functn: Any) -> list[Any]:
    return [argument for part in functn.children[2:-1] for argument in part.children if hasattr(argument, "start")]


def _kind(tree: Any) -> str:
    return type(tree).__name__.removesuffix("Context")


def _name(tree: Any) -> str:
    """The text of an identifier, without its back-quotes."""
    text: str = tree.getText()
    return _unescape(text[1:-1]) if text[:1] in ("`", "'") else text


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return _ESCAPE.sub(one, text)


class _Reader:
    """One expression on its way to nodes, gathering faults."""

    def __init__(self, variables: dict[str, str | None], resource: str) -> None:
        self.variables = variables
        self.resource = resource
        self.faults: list[Fault] = []
        self.used: set[str] = set()

    def fault(self, tree: Any, found: str, expected: str, near: str = "") -> None:
        """Note what is wrong at a place of the tree."""
        self.faults.append(Fault(tree.start.start, found, expected, near))

    def survey(self, tree: Any) -> None:
        """Check, inside the subset and outside, that functions and variables exist and that no clock is read."""
        match _kind(tree):
            case "Functn":
                self._survey_function(tree)
            case "ExternalConstant":
                name = _name(tree.children[1])
                self.used.add(name)
                if name == "now":
                    self.fault(tree, "%now", REFUSED["now"])
                elif name not in self.variables:
                    self.fault(tree, f"%{name}", "a variable of this scope", self._near_variable(name))
            case "DateTimeLiteral" | "TimeLiteral":
                self.fault(tree, tree.getText(), "no fixed date: clocks run from the record, by elapsed(anchor, '3 d')")
        for child in getattr(tree, "children", None) or ():
            if hasattr(child, "start"):
                self.survey(child)

    def _survey_function(self, tree: Any) -> None:
        name = _name(tree.children[0])
        if name in REFUSED:
            self.fault(tree, f"{name}()", REFUSED[name])
        elif name != "elapsed" and name not in invocation_registry:
            self.fault(tree, f"{name}()", "a FHIRPath function", nearest(name, [*invocation_registry, "elapsed"]))

        elif name == "elapsed":
            self._survey_elapsed(tree)

    def _survey_elapsed(self, tree: Any) -> None:
        arguments = _arguments(tree)
        text = arguments[1].getText() if len(arguments) == 2 else ""
        if not text.startswith("'"):
            self.fault(tree, tree.getText(), "elapsed(anchor, '24 h')")
            return
        try:
            duration(_unescape(text[1:-1]))
        except BadDuration as bad:
            self.fault(arguments[1], bad.found, bad.expected)

    def _near_variable(self, name: str) -> str:
        near = nearest(name, self.variables)
        return f"%{near}" if near else ""

    def require(self, tree: Any, typed: Typed, gives: str) -> None:
        """Check that an expression gives what is wanted of it."""
        if gives == MOMENT:
            if typed.type is not None and typed.type not in model.DATES:
                self.fault(tree, f"a {typed.type}", "a date or dateTime")
        elif gives == CONDITION and typed.type not in (BOOLEAN, None):
            self.fault(tree, f"a {typed.type}", A_CONDITION)

    # expressions

    def expression(self, tree: Any, focus: Typed) -> Typed:
        """Read any expression, term or literal."""
        read_one = _READERS.get(_kind(tree))
        if read_one is None:
            raise Outside
        typed: Typed = read_one(self, tree, focus)
        return typed

    def first_child(self, tree: Any, focus: Typed) -> Typed:
        """Read what is only wrapped: terms."""
        return self.expression(tree.children[0], focus)

    def parenthesized(self, tree: Any, focus: Typed) -> Typed:
        """Read ( … )."""
        return self.expression(tree.children[1], focus)

    def invocation(self, tree: Any, focus: Typed) -> Typed:
        """Read source.member or source.function()."""
        return self.expression(tree.children[2], self.expression(tree.children[0], focus))

    def indexer(self, tree: Any, focus: Typed) -> Typed:
        """Read source[n]."""
        source = self.expression(tree.children[0], focus)
        index = self.expression(tree.children[2], focus).node
        if not isinstance(index, nodes.Literal) or type(index.value) is not int:
            raise Outside
        return Typed(nodes.Index(source.node, index.value), source.type)

    def condition(self, tree: Any, focus: Typed) -> nodes.Node:
        """Read an operand or criterion that is to be true or false."""
        typed = self.expression(tree, focus)
        self.require(tree, typed, CONDITION)
        return typed.node

    def logic(self, tree: Any, focus: Typed) -> Typed:
        """Read and, or, xor, implies."""
        left, op, right = tree.children
        node = nodes.Logic(op.getText(), self.condition(left, focus), self.condition(right, focus))
        return Typed(node, BOOLEAN)

    def equality(self, tree: Any, focus: Typed) -> Typed:
        """Read =, !=, ~ and !~."""
        left, right = self._operands(tree, focus)
        op = tree.children[1].getText()
        kind = nodes.Equal if "=" in op else nodes.Equivalent
        return Typed(kind(left, right, op.startswith("!")), BOOLEAN)

    def order(self, tree: Any, focus: Typed) -> Typed:
        """Read <, <=, > and >=."""
        left, right = self._operands(tree, focus)
        return Typed(nodes.Order(tree.children[1].getText(), left, right), BOOLEAN)

    def membership(self, tree: Any, focus: Typed) -> Typed:
        """Read in and contains."""
        left, right = self._operands(tree, focus)
        if tree.children[1].getText() == "contains":
            left, right = right, left
        return Typed(nodes.Within(left, right), BOOLEAN)

    def union(self, tree: Any, focus: Typed) -> Typed:
        """Read left | right."""
        left = self.expression(tree.children[0], focus)
        right = self.expression(tree.children[2], focus)
        return Typed(nodes.Union(left.node, right.node), left.type if left.type == right.type else None)

    def _operands(self, tree: Any, focus: Typed) -> tuple[nodes.Node, nodes.Node]:
        sides = [self.expression(tree.children[at], focus) for at in (0, 2)]
        for at, side in zip((0, 2), sides, strict=True):
            if side.type in model.DATES:
                self.fault(tree.children[at], f"a comparison of a {side.type}", "elapsed(anchor, '3 d') for times")
            if side.type in model.QUANTITIES:
                raise Outside
        return sides[0].node, sides[1].node

    # terms

    def variable(self, tree: Any, _focus: Typed) -> Typed:
        """Read %name."""
        name = _name(tree.children[0].children[1])
        return Typed(nodes.Variable(name), self.variables.get(name))

    def this(self, _tree: Any, focus: Typed) -> Typed:
        """Read $this."""
        return Typed(nodes.This(), focus.type)

    def nothing(self, _tree: Any, _focus: Typed) -> Typed:
        """Read {}."""
        return Typed(nodes.Nothing(), None)

    def text(self, tree: Any, _focus: Typed) -> Typed:
        """Read '…'."""
        return Typed(nodes.Literal(_unescape(tree.getText()[1:-1])), "string")

    def boolean(self, tree: Any, _focus: Typed) -> Typed:
        """Read true and false."""
        return Typed(nodes.Literal(tree.getText() == "true"), BOOLEAN)

    def number(self, tree: Any, _focus: Typed) -> Typed:
        """Read whole numbers; decimals are outside."""
        if not tree.getText().isdigit():
            raise Outside
        return Typed(nodes.Literal(int(tree.getText())), "integer")

    def member(self, tree: Any, focus: Typed) -> Typed:
        """Read an element, checked against the type that it is an element of."""
        name = _name(tree.children[0])
        if name == self.resource == focus.type and isinstance(focus.node, nodes.This):
            return Typed(nodes.OfResource(name), name)
        if focus.type is None or focus.type == "Resource":
            raise Outside
        element = model.elements(focus.type).get(name)
        if element is None:
            return self._unknown(tree, name, focus.type)
        return Typed(nodes.Member(focus.node, element.names), element.type, None if element.type else element)

    def _unknown(self, tree: Any, name: str, owner: str) -> Typed:
        choice = model.is_choice_field(owner, name)
        near = choice or nearest(name, model.elements(owner))
        self.fault(tree, name, f"an element of {owner}", near)
        raise Outside

    def function(self, tree: Any, focus: Typed) -> Typed:
        """Read source.function(…)."""
        functn = tree.children[0]
        return functions.read(self, functn, _name(functn.children[0]), _arguments(functn), focus)


_READERS: dict[str, Any] = {
    "TermExpression": _Reader.first_child,
    "InvocationTerm": _Reader.first_child,
    "LiteralTerm": _Reader.first_child,
    "ParenthesizedTerm": _Reader.parenthesized,
    "ExternalConstantTerm": _Reader.variable,
    "InvocationExpression": _Reader.invocation,
    "IndexerExpression": _Reader.indexer,
    "AndExpression": _Reader.logic,
    "OrExpression": _Reader.logic,
    "ImpliesExpression": _Reader.logic,
    "EqualityExpression": _Reader.equality,
    "InequalityExpression": _Reader.order,
    "MembershipExpression": _Reader.membership,
    "UnionExpression": _Reader.union,
    "MemberInvocation": _Reader.member,
    "FunctionInvocation": _Reader.function,
    "ThisInvocation": _Reader.this,
    "NullLiteral": _Reader.nothing,
    "StringLiteral": _Reader.text,
    "BooleanLiteral": _Reader.boolean,
    "NumberLiteral": _Reader.number,
}
