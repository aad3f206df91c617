"""Expressions outside the compiled subset, evaluated by fhirpathpy with its R4 model (950 to 12,000 a second).

Imported only where a rule set holds such an expression; fhirpathpy brings antlr and dateutil along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fhirpathpy
from fhirpathpy.engine.nodes import TypeInfo
from fhirpathpy.models import models

from fhir_bridge.tasks.durations import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.tasks.fhirpath.scope import Scope

_R4 = models["r4"]


def values(text: str) -> Callable[[Scope], list[Any]]:
    """The function of an expression. It must have passed read.py."""
    here: list[Scope] = []

    def elapsed(_inputs: list[Any], anchor: list[Any], length: str) -> list[bool]:
        found = here[-1].elapsed([getattr(item, "data", item) for item in anchor], duration(length))
        return [] if found is None else [found]

    table = {"elapsed": {"fn": elapsed, "arity": {2: ["Any", "String"]}}}
    compiled = fhirpathpy.compile(text, _R4, {"userInvocationTable": table})

    def evaluate(scope: Scope) -> list[Any]:
        TypeInfo.model = _R4  # type: ignore[assignment] # it is None until set; fhirpathpy sets it only once `is` or `as` was met
        here.append(scope)
        try:
            found: list[Any] = compiled(scope.resource[0] if scope.resource else {}, scope.variables)
        finally:
            here.pop()
        return found

    return evaluate
