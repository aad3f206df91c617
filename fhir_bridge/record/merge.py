"""Registers: last writer wins for each element and source, by recorded time (FOLD 3-5).

A part of the record is one document: a patient, a visit, a booking, a communication, or an entry of the directory.

    {"type", "id", "key",
     "els":   {element: {source: [clock, seq, value]}},            value null = deleted
     "ids":   {"system|value": {source: [clock, seq, identifier]}},  survive absence
     "sets":  {resource type: {source: [clock, seq, [resources]]}},  snapshots: coverage, diagnoses, kin, allergies
     "deltas": {resource type: {source: {id: [clock, seq, resource]}}},  members put, or removed (null), one by one
     "owner": {source: [clock, seq, patient id]},
     "facts": see episode, "into" and "merged": see replaced}

An element that the sender left out is unchanged. What must outlive the absence of a neighbour has a register of its
own: the children of a single backbone element, each extension by url, each participant by type, each link by where it
leads. Documents are plain JSON so that any engine stores them; nothing here reads or stores one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record import episode, labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fhir_bridge.record.assertion import Assertion
    from fhir_bridge.record.clocks import Stamp

Doc = dict[str, Any]

OWNERS = {
    "Coverage": ("Encounter", "Patient"),
    "Condition": ("Encounter", "Patient"),
    "AllergyIntolerance": ("Patient",),
    "RelatedPerson": ("Patient",),
}
"""Snapshot sets and where they live: in the first of these that the entry names."""

DIRECTORY = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "HealthcareService", "Endpoint", "Schedule"}
)
"""What is nobody's; all other types are parts of a patient's record, each by itself."""
TEST, TEST_CODE = "test", "HTEST"
"""The register of the label (v3-ActReason) of a patient who is not one: MSH-11 other than P, or a test record."""

_NESTED = {"Encounter": frozenset({"period", "hospitalization"}), "Patient": frozenset()}
_DERIVED = {"Encounter": frozenset({"status", "subject"})}
_CHOICES = ("deceased", "multipleBirth")
_NOT_ELEMENTS = frozenset({"resourceType", "id", "identifier"})


def new_doc(resource_type: str, resource_id: str, key: str) -> Doc:
    """An empty part."""
    return {"type": resource_type, "id": resource_id, "key": key, "els": {}, "ids": {}, "facts": {}}


def registers_of(resource: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A resource taken apart into (register, value), as the module's docstring says."""
    resource_type = resource["resourceType"]
    nested = _NESTED.get(resource_type, frozenset())
    derived = _DERIVED.get(resource_type, frozenset())
    if resource_type == "Patient":
        yield TEST, _test_labels(resource) or False
    for name, value in resource.items():
        if name in _NOT_ELEMENTS or name in derived:
            continue
        if name in nested:
            for child, inner in value.items():
                yield f"{name}.{child}", inner
        elif name == "extension":
            yield from _by_url(value)
        elif name == "meta":
            yield from _of_meta(value)
        elif name == "participant" and resource_type == "Encounter":
            yield from _by_type(value)
        elif name == "link" and resource_type == "Patient":
            for link in value:
                yield f"link|{link['other'].get('reference', '')}", [link]
        else:
            yield _register_name(name), ({name: value} if name.startswith(_CHOICES) else value)


def _test_labels(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return [label for label in resource.get("meta", {}).get("security", ()) if label.get("code") == TEST_CODE]


def _of_meta(meta: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Labels and tags; that a patient is a test is stated anew by every message, and so stands by itself."""
    for name in ("security", "tag"):
        stated = [one for one in meta.get(name, ()) if one.get("code") != TEST_CODE]
        for sensitive in filter(labels.is_label, stated if name == "security" else ()):
            yield labels.REGISTER + sensitive["code"], [sensitive]
        others = [one for one in stated if name == "tag" or not labels.is_label(one)]
        if others:
            yield f"meta.{name}", others


def _register_name(name: str) -> str:
    for choice in _CHOICES:
        if name.startswith(choice):
            return f"{choice}[x]"
    return name


def _by_url(extensions: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for extension in extensions:
        grouped.setdefault(extension["url"], []).append(extension)
    for url, members in grouped.items():
        yield f"extension|{url}", members


def _by_type(participants: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for participant in participants:
        kinds = participant.get("type") or [{}]
        coding = (kinds[0].get("coding") or [{}])[0]
        grouped.setdefault(coding.get("code", ""), []).append(participant)
    for code, members in grouped.items():
        yield f"participant|{code}", members


def assert_resource(doc: Doc, assertion: Assertion, source: str, stamp: Stamp) -> set[str]:
    """Fold one assertion into its part; returns the registers whose value changed. Older statements change nothing."""
    changed: set[str] = set()
    els = doc["els"]
    for name, value in registers_of(assertion.resource):
        if _write(els.setdefault(name, {}), source, stamp, value):
            changed.add(name)
    for name in assertion.deleted:
        changed |= _delete(doc, name, source, stamp)
    for identifier in assertion.resource.get("identifier", ()):
        key = f"{identifier.get('system', '')}|{identifier.get('value', '')}"
        if _write(doc["ids"].setdefault(key, {}), source, stamp, identifier):
            changed.add("identifier")
    return changed


def replace_resource(doc: Doc, assertion: Assertion, source: str, stamp: Stamp) -> set[str]:
    """Like assert_resource for a sender whose resource is whole (FHIR PUT): what it leaves out it no longer states."""
    stated = {name for name, _ in registers_of(assertion.resource)}
    changed = assert_resource(doc, assertion, source, stamp)
    for name, by_source in doc["els"].items():
        gone = name not in stated and source in by_source and not name.startswith(labels.REGISTER)
        if gone and _write(by_source, source, stamp, None):
            changed.add(name)
    return changed


def withdraw(doc: Doc, register: str, source: str, stamp: Stamp) -> set[str]:
    """Leave a clocked tombstone in a register that another statement makes void."""
    return _delete(doc, register, source, stamp)


def _delete(doc: Doc, element: str, source: str, stamp: Stamp) -> set[str]:
    """Leave a clocked tombstone in each register of an element (FOLD 4)."""
    name = _register_name(element)
    prefixes = (f"{name}.", f"{name}|")
    names = [known for known in doc["els"] if known == name or known.startswith(prefixes)] or [name]
    return {known for known in names if _write(doc["els"].setdefault(known, {}), source, stamp, None)}


def _write(by_source: dict[str, list[Any]], source: str, stamp: Stamp, value: Any) -> bool:
    """Write a register where the stamp is newer. True if the value differs from before."""
    known = by_source.get(source)
    if known is None:
        by_source[source] = [stamp.clock, stamp.seq, value]
        return value is not None
    if (known[0], known[1]) >= (stamp.clock, stamp.seq):
        return False
    differs: bool = known[2] != value
    by_source[source] = [stamp.clock, stamp.seq, value]
    return differs


def write_set(doc: Doc, resource_type: str, resources: list[dict[str, Any]], source: str, stamp: Stamp) -> bool:
    """Replace a snapshot set whole; an empty one says that there is none (FOLD 4-5). True if it differs."""
    by_source = doc.setdefault("sets", {}).setdefault(resource_type, {})
    known = by_source.get(source)
    changed = _write(by_source, source, stamp, resources)
    deltas = doc.get("deltas", {}).get(resource_type, {}).get(source)
    if deltas:
        doc["deltas"][resource_type][source] = {
            name: delta for name, delta in deltas.items() if (delta[0], delta[1]) > (stamp.clock, stamp.seq)
        }
    return changed or known is None


def write_member(
    doc: Doc, resource_type: str, resource: dict[str, Any], source: str, stamp: Stamp, *, removed: bool
) -> bool:
    """Put one member into a set, or take it out (an action code, FOLD 4). True if the set differs."""
    snapshot = doc.get("sets", {}).get(resource_type, {}).get(source)
    if snapshot and (snapshot[0], snapshot[1]) >= (stamp.clock, stamp.seq):
        return False
    before = members(doc, resource_type)
    by_id = doc.setdefault("deltas", {}).setdefault(resource_type, {}).setdefault(source, {})
    _write(by_id, resource["id"], stamp, None if removed else resource)
    return members(doc, resource_type) != before


def members(doc: Doc, resource_type: str, precedence: tuple[str, ...] = ()) -> list[dict[str, Any]] | None:
    """The members of a set: the leading source's snapshot with what it put and removed since; None for unknown."""
    sets = doc.get("sets", {}).get(resource_type)
    deltas = doc.get("deltas", {}).get(resource_type)
    if not deltas:
        register = winner(sets, precedence)
        return list(register[2]) if register else None
    source = episode.leading({**(sets or {}), **deltas}, precedence)[0]
    snapshot = (sets or {}).get(source)
    found = {member["id"]: member for member in (snapshot[2] if snapshot else ())}
    for name, (_, _, resource) in sorted(deltas.get(source, {}).items(), key=lambda item: (item[1][:2], item[0])):
        if resource is None:
            found.pop(name, None)
        else:
            found[name] = resource
    return list(found.values()) if found or snapshot else None


def write_owner(doc: Doc, patient: str, source: str, stamp: Stamp) -> bool:
    """Move the clocked edge from a visit or a booking to the patient whose it is (FOLD 8)."""
    return _write(doc.setdefault("owner", {}), source, stamp, patient)


def add_fact(doc: Doc, source: str, name: str, stamp: Stamp, occurred: str | None) -> bool:
    """Put a clocked fact in its place (FOLD 6)."""
    return episode.add_fact(doc["facts"], source, name, stamp, occurred)


def winner(by_source: dict[str, list[Any]] | None, precedence: tuple[str, ...] = ()) -> list[Any] | None:
    """The register [clock, seq, value] that stands among several sources'."""
    if not by_source:
        return None
    if len(by_source) == 1:
        return next(iter(by_source.values()))
    return by_source[episode.leading(by_source, precedence)[0]]


def owner(doc: Doc, precedence: tuple[str, ...] = ()) -> str | None:
    """The patient id that a part belongs to."""
    register = winner(doc.get("owner"), precedence)
    return register[2] if register else None


def newest_clock(doc: Doc) -> int:
    """The newest clock of anything that was said about a part."""
    clocks = [r[0] for group in ("els", "ids", "sets") for by in doc.get(group, {}).values() for r in by.values()]
    clocks += [row[0] for axes in doc["facts"].values() for rows in axes.values() for row in rows[-1:]]
    return max(clocks, default=0)


def set_state(docs: Iterable[Doc], resource_type: str, precedence: tuple[str, ...] = ()) -> str:
    """Coverage of a snapshot set (FOLD 5): 'present', 'none' (known) or 'unknown'."""
    state = "unknown"
    for doc in docs:
        found = members(doc, resource_type, precedence)
        if found is not None:
            if found:
                return "present"
            state = "none"
    return state
