"""A part without what some sources said: what a refold begins with, before the same is said again (FOLD 13).

What the installation's own people said stays. Pure: it changes the document that it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from fhir_bridge.record.merge import Doc

_BY_NAME = ("els", "ids")
_DERIVED = ("first", "newest", "merged")


def forget(doc: Doc, kept: Container[str]) -> None:
    """Take out every register, fact and edge of a part that is not a kept source's."""
    for group in _BY_NAME:
        doc[group] = {name: left for name, by in doc.get(group, {}).items() if (left := _left(by, kept))}
    for group in ("facts", "owner", "into"):
        if group in doc:
            doc[group] = _left(doc[group], kept)
    for group in ("sets", "deltas"):
        if group in doc:
            doc[group] = {name: left for name, by in doc[group].items() if (left := _left(by, kept))}
    for name in _DERIVED:
        doc.pop(name, None)


def is_bare(doc: Doc) -> bool:
    """Whether nothing is said of a part any more."""
    return not any(doc.get(group) for group in (*_BY_NAME, "sets", "deltas", "facts"))


def told_by(doc: Doc, kept: Container[str]) -> set[int]:
    """The entries whose statements, not of a kept source, stand in a part."""
    return set(
        _seqs({group: doc.get(group, {}) for group in (*_BY_NAME, "sets", "deltas", "owner", "into", "facts")}, kept)
    )


def _left(by_source: dict[str, Any], kept: Container[str]) -> dict[str, Any]:
    return {source: value for source, value in by_source.items() if source in kept}


def _seqs(value: Any, kept: Container[str]) -> Iterator[int]:
    """The second number of every ``[clock, seq, …]`` below; deeper values are the senders' own."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in kept:
                yield from _seqs(inner, kept)
    elif isinstance(value, list) and len(value) > 2 and all(type(part) is int for part in value[:2]):
        yield value[1]
    elif isinstance(value, list):
        for inner in value:
            yield from _seqs(inner, kept)
