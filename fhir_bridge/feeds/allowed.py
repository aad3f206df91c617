"""What a feed may send: types, facilities, assigning authorities; and which notes nobody may send (FOLD 24).

It stands apart from the doors so that the rules for HL7 v2 and FHIR are read on one page. What is not allowed is
refused and kept, like all that the doors refuse; of notes that must not be kept only header, length and hash are. An
empty list allows all; whose token or certificate may speak for a feed is decided before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from adapters.hl7v2.ack import AckError
from adapters.hl7v2.errors import OTHER, UNSUPPORTED_MESSAGE_TYPE, Location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from adapters.hl7v2.er7 import Header
    from fhir_bridge.feeds.feed import Feed
    from fhir_bridge.gateway.ports import FeedLists

TYPE, FACILITY, AUTHORITY = "type-not-allowed", "facility-not-allowed", "authority-not-allowed"
WITHHELD = "note-not-kept"
"""Code of the refusal of psychotherapy notes and SUD counselling: of their bytes header, length and hash are kept."""
_AUTHORITY_URN = "urn:fhir-bridge:authority:"
_IDENTIFIERS = {"PID": 3, "MRG": 1}
"""Segments that say whom a message is about, and the field that holds their identifiers."""
_DOCUMENTS = {"TXA": 2, "OBX": 3}
"""Segments that say what kind of document this is, and in which field."""


class Barred(NamedTuple):
    """Why a message may not come by this feed: the code that is kept, and what the sender hears."""

    code: str
    error: AckError


_TYPE = Barred(
    TYPE, AckError(UNSUPPORTED_MESSAGE_TYPE, Location("MSH", 1, 9), "this feed does not take this message type")
)
_FACILITY = Barred(FACILITY, AckError(OTHER, Location("MSH", 1, 4), "this feed does not speak for this facility"))
_WORDS = "this feed does not speak for this authority"
_AUTHORITY = {
    name: Barred(AUTHORITY, AckError(OTHER, Location(name, 1, n), _WORDS)) for name, n in _IDENTIFIERS.items()
}
_WITHHELD = Barred(WITHHELD, AckError(OTHER, Location("TXA", 1, 2), "notes of this kind are not kept here"))


def barred(feed: Feed, header: Header, raw: bytes) -> Barred | None:
    """Why this message may not come by this feed, None where it may.

    A type is allowed as ``ADT^A01``, or with all its triggers as ``ADT``. Facilities are MSH-4.1, authorities CX.4.1
    of every PID-3 and MRG-1, the feed's own where one names none; a message about nobody passes.
    """
    if feed.types and not {header.message_code, f"{header.message_code}^{header.trigger}"} & set(feed.types):
        return _TYPE
    if feed.facilities and header.sending_facility.split(header.delimiters.component, 1)[0] not in feed.facilities:
        return _FACILITY
    if feed.authorities and (place := _foreign(feed, header, raw)):
        return _AUTHORITY[place]
    if feed.refused_documents and (header.message_code == "MDM" or b"TXA" in raw) and _is_note(feed, header, raw):
        return _WITHHELD
    return None


def _foreign(feed: Feed, header: Header, raw: bytes) -> str:
    """The segment that names a patient by an authority that is not this feed's, '' for none."""
    seen = False
    for name, field in _fields(header, raw, _IDENTIFIERS):
        seen = True
        for identifier in field.split(header.delimiters.repetition):
            if identifier and _authority(feed, header, identifier) not in feed.authorities:
                return name
    return "PID" if header.patient and not seen else ""


def _authority(feed: Feed, header: Header, identifier: str) -> str:
    parts = identifier.split(header.delimiters.component, 4)
    stated = parts[3].split(header.delimiters.subcomponent, 1)[0] if len(parts) > 3 else ""
    return stated or feed.authority


def _is_note(feed: Feed, header: Header, raw: bytes) -> bool:
    codes = {part for _, field in _fields(header, raw, _DOCUMENTS) for part in field.split(header.delimiters.component)}
    return not codes.isdisjoint(feed.refused_documents)


def _fields(header: Header, raw: bytes, wanted: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """One field of each of these segments, as it stands in the bytes."""
    separator = header.delimiters.field
    for line in raw.decode("latin-1").replace("\n", "\r").split("\r"):
        number = wanted.get(line[:3])
        if number is not None:
            fields = line.split(separator, number + 1)
            yield line[:3], fields[number] if len(fields) > number else ""


class BarredResource(NamedTuple):
    """Why a resource may not come by this feed: the code that is kept, and the element that says so."""

    code: str
    element: str


def barred_resource(
    lists: FeedLists, resource: Mapping[str, Any], systems_of: Callable[[str], Iterable[str]]
) -> BarredResource | None:
    """Why this resource may not come by this feed, None where it may.

    Authorities are the systems of Patient.identifier and of the patients that are referred to: `systems_of` gives those
    of a patient that is known here by a sender's id or by ours. The facility is Patient.managingOrganization.
    """
    kind = str(resource.get("resourceType", ""))
    if lists.types and kind not in lists.types:
        return BarredResource(TYPE, kind)
    if lists.refused_documents and not _labels(resource).isdisjoint(lists.refused_documents):
        return BarredResource(WITHHELD, kind)
    organization = resource.get("managingOrganization")
    if lists.facilities and organization and _facilities(organization).isdisjoint(lists.facilities):
        return BarredResource(FACILITY, f"{kind}.managingOrganization")
    if not lists.authorities:
        return None
    stated = [one.get("system") for one in resource.get("identifier", ())] if kind == "Patient" else []
    if any(system and not _speaks_for(lists, system) for system in stated):
        return BarredResource(AUTHORITY, "Patient.identifier")
    for element, reference in _patients(resource):
        if not _may_name(lists, reference, systems_of):
            return BarredResource(AUTHORITY, f"{kind}.{element}")
    return None


def _speaks_for(lists: FeedLists, system: str) -> bool:
    return system in lists.authorities or system.removeprefix(_AUTHORITY_URN) in lists.authorities


def _may_name(lists: FeedLists, reference: Mapping[str, Any], systems_of: Callable[[str], Iterable[str]]) -> bool:
    """Whether a feed may say something of this patient: by an authority of its own, or one that it shares."""
    system = (reference.get("identifier") or {}).get("system")
    if system and not _speaks_for(lists, system):
        return False
    known = list(systems_of(str(reference.get("reference", "")).rpartition("/")[2]))
    return not known or any(_speaks_for(lists, one) for one in known)


def _patients(resource: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The references to patients, and in which element each stands; a Patient with an id refers to itself."""
    if resource.get("resourceType") == "Patient":
        yield "id", {"reference": f"Patient/{resource.get('id', '')}"}
    named: list[tuple[str, Any]] = [(name, resource.get(name)) for name in ("subject", "patient", "sender")]
    named += [("recipient", one) for one in resource.get("recipient", ())]
    named += [("participant.actor", one.get("actor")) for one in resource.get("participant", ())]
    for element, reference in named:
        if isinstance(reference, dict) and (
            "Patient/" in str(reference.get("reference", "")) or reference.get("type") == "Patient"
        ):
            yield element, reference


def _facilities(organization: Mapping[str, Any]) -> set[str]:
    """What an organization is called: its identifier, or its id at the sender."""
    identifier = organization.get("identifier") or {}
    return {str(identifier.get("value", "")), str(organization.get("reference", "")).rpartition("/")[2]}


def _labels(resource: Mapping[str, Any]) -> set[str]:
    """Codes of a resource's labels and categories."""
    labels = {str(label.get("code")) for label in (resource.get("meta") or {}).get("security", ())}
    concepts = resource.get("category", ())
    return labels | {str(coding.get("code")) for one in concepts for coding in one.get("coding", ())}
