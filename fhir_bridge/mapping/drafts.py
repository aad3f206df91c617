"""Resources in the making, and what compiled code does with them: keys, references, groups of segments.

Plain values and functions; what depends on a message's delimiters or the feed's settings is `runtime`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping.frozen import freeze, thaw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.mapping.definitions import Segment

    Segments = Mapping[str, list[Segment]]


_NO_NAMES: list[str] = []
BARE = 2
"""Elements of a resource that says nothing yet: its type and id."""


class Draft:
    """A resource in the making: its JSON, the registers that the sender deleted, the required elements it may lack.

    A remembered one is `kept`: its resource is frozen, shared between messages.
    """

    __slots__ = ("action", "deleted", "id", "is_patient", "kept", "key", "needs", "origin", "ref", "resource")

    def __init__(self, type_name: str, resource_id: str, key: str, needs: tuple[tuple[str, ...], ...]) -> None:
        self.id, self.key, self.needs = resource_id, key, needs
        self.ref = f"{type_name}/{resource_id}"
        self.is_patient = type_name == "Patient"
        self.resource: dict[str, Any] = {"resourceType": type_name, "id": resource_id}
        self.deleted: list[str] = []
        self.kept = False
        self.action = ""
        self.origin: list[str] | None = None

    def remembered(self) -> Draft:
        """The same, to be kept beyond its message; as small as can be, since many are."""
        if self.kept:
            return self
        draft = Draft.__new__(Draft)
        draft.id, draft.key, draft.needs, draft.ref, draft.is_patient = self.id, self.key, (), self.ref, self.is_patient
        draft.action = self.action
        draft.kept, draft.resource, draft.deleted, draft.origin = True, freeze(dict(self.resource)), _NO_NAMES, None
        return draft

    def fresh(self) -> Draft:
        """The same, to be changed."""
        draft = Draft("", self.id, self.key, self.needs)
        draft.ref, draft.resource, draft.deleted = self.ref, thaw(self.resource), list(self.deleted)
        draft.is_patient, draft.origin, draft.action = self.is_patient, self.origin, self.action
        return draft


def join(into: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Adds what one map wrote to what others did; the checker saw to it that no single element is written twice."""
    for name, value in part.items():
        if name not in into:
            into[name] = value
        elif isinstance(value, list):
            into[name] = into[name] + value
        elif isinstance(value, dict):
            into[name] = inner = dict(into[name])
            join(inner, value)


def put(into: dict[str, Any], name: str, value: Any) -> None:
    """Adds to a list that may be shared."""
    into[name] = [*into.get(name, ()), value]


def field(segments: Segments, name: str, number: int) -> str:
    """A raw field of the first segment of a name, '' when absent."""
    found = segments.get(name)
    if not found:
        return ""
    fields = found[0].fields
    return fields[number] if len(fields) > number else ""


def compose(type_name: str, owners: Sequence[Draft | None], texts: Sequence[str]) -> str:
    """``Type|owner's id|text``: '' when an owner is missing, or no text has a value."""
    if None in owners or not any(texts):
        return ""
    if "|" in "".join(texts):
        texts = [text.replace("|", "%7C") for text in texts]
    return "|".join([type_name, *[owner.id for owner in owners if owner], *texts])


def reference(draft: Draft | None, text: str = "") -> dict[str, Any] | None:
    """A Reference to a resource, with a display where there is one; a display alone; or nothing."""
    if draft is None:
        return {"display": text} if text else None
    return {"reference": draft.ref, "display": text} if text else {"reference": draft.ref}


REMOVING = frozenset({"D", "DE", "DEL"})
"""Action codes (HL7 tables 0206, 0287, 0323) that take a member of a set away; any other one puts it there."""


def deed(code: str) -> str:
    """What a segment's action code says of its resource: `put`, `remove`, or '' where it has none."""
    return "" if not code else "remove" if code.upper() in REMOVING else "put"
