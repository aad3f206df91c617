"""Visits and accounts whose number was merged into another one's, or changed (A41-A42, A45, A49-A50).

As with patients (FOLD 8) nothing is moved: each number keeps its own part, a clocked edge leads from the retired to the
surviving one, and the survivor is read together with what it replaces. What the survivor states wins, the others fill
gaps. Pure: documents come in, documents go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record.identity import MergeCycle, choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_bridge.record.clocks import Stamp
    from fhir_bridge.record.merge import Doc

    Load = Callable[[str], Doc | None]

KINDS = frozenset({"Encounter", "Account"})


def into(doc: Doc) -> str | None:
    """The part that replaces this one, as the newest edge says."""
    edges = doc.get("into")
    return choose(edges) if edges else None


def standing(doc: Doc, load: Load) -> Doc:
    """The part that stands for this one, itself where nothing replaces it. Raises MergeCycle."""
    seen = {doc["id"]}
    while (survivor := into(doc)) is not None:
        if survivor in seen:
            raise MergeCycle
        seen.add(survivor)
        found = load(survivor)
        if found is None:
            return doc
        doc = found
    return doc


def replace(retired: Doc, survivor: Doc, load: Load, source: str, stamp: Stamp) -> list[Doc]:
    """Lay the edge from one part to another; the parts that are other now. Raises MergeCycle."""
    edges = retired.setdefault("into", {})
    known = edges.get(source)
    if known and (known[0], known[1]) >= (stamp.clock, stamp.seq):
        return []
    before = into(retired)
    edge = [stamp.clock, stamp.seq, survivor["id"]]
    standing({**retired, "into": {**edges, source: edge}}, load)
    edges[source] = edge
    after = into(retired)
    if after == before:
        return [retired]
    changed = [retired]
    former = load(before) if before else None
    if former is not None:
        left = [name for name in former.pop("merged", ()) if name != retired["id"]]
        former.update({"merged": left} if left else {})
        changed.append(former)
    if after == survivor["id"]:
        survivor["merged"] = sorted({*survivor.get("merged", ()), retired["id"]})
        changed.append(survivor)
    return changed


def members(doc: Doc, load: Load) -> list[Doc]:
    """A surviving part and all that it replaces, itself first, the others in id order."""
    found = {doc["id"]: doc}
    waiting = list(doc.get("merged", ()))
    while waiting:
        name = waiting.pop()
        part = load(name) if name not in found else None
        if part is not None:
            found[name] = part
            waiting += part.get("merged", ())
    return [doc, *(found[name] for name in sorted(found) if name != doc["id"])]


def whole(doc: Doc, load: Load) -> Doc:
    """A part with what it replaces filled in; the document itself where it replaces nothing."""
    if not doc.get("merged"):
        return doc
    first, *others = members(doc, load)
    numbers = [other["id"] for other in others]
    out: Doc = {**first, "merged": numbers, "els": dict(first["els"]), "ids": dict(first["ids"])}
    out["sets"], out["deltas"] = dict(first.get("sets", {})), dict(first.get("deltas", {}))
    facts: dict[str, dict[str, list[list[Any]]]] = {s: dict(axes) for s, axes in first["facts"].items()}
    for other in others:
        for group in ("els", "sets", "deltas"):
            for name, by_source in other.get(group, {}).items():
                out[group].setdefault(name, by_source)
        for name, by_source in other["ids"].items():
            out["ids"].setdefault(name, {source: _old(register) for source, register in by_source.items()})
        if other.get("owner"):
            out.setdefault("owner", other["owner"])
    _fill_facts(facts, others)
    out["facts"] = facts
    heard = [part["first"] for part in (first, *others) if "first" in part]
    if heard:
        out["first"] = min(heard)
    return out


def _old(register: list[Any]) -> list[Any]:
    return [*register[:2], {**register[2], "use": "old"} if register[2] else None]


def _fill_facts(facts: dict[str, dict[str, list[list[Any]]]], others: list[Doc]) -> None:
    """How a visit began is known from all its numbers; that one of them was cancelled says nothing of the others.

    Of each other axis the survivor's own facts count, and where it has none those of the first that has.
    """
    for other in others:
        for source, axes in other["facts"].items():
            mine = facts.setdefault(source, {})
            for axis, rows in axes.items():
                if axis == "visit":
                    began = [row for row in rows if row[2] != "visit-cancelled"]
                    mine[axis] = sorted([*mine.get(axis, ()), *began], key=lambda row: (row[0], row[1]))
                    if not mine[axis]:
                        del mine[axis]
                else:
                    mine.setdefault(axis, rows)
