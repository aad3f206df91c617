"""What one journal entry asserts about resources: the seam between translation and the patient's record.

The mapping compiler (HL7 v2) and the FHIR push both end here; the record begins here. It stands apart so that neither
side knows the other. No clocks are compared and nothing is stored here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Assertion:
    """One resource as the sender stated it.

    `resource` is FHIR R4 JSON with `resourceType` and `id`; an element that the sender left out is absent (unchanged).
    `key` is the business key that made the id, for example ``Patient|urn:oid:1.2.3|12345``.
    `deleted` names the top-level elements that the sender deleted (HL7 v2 ``""``). `action` is `put` or `remove` where
    the sender said what becomes of a member of a set (an action code, FOLD 4), '' where it sent the set as it is;
    `mention` where the resource is only referred to, and what is said of it here is not for the record.
    """

    resource: dict[str, Any]
    key: str
    deleted: tuple[str, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A clocked statement about a visit or a booking (FOLD 6), for example (encounter id, ``admitted``)."""

    subject: str
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """A merge: what is `retired` is from now on found under `survivor` (both resource ids of type `kind`)."""

    retired: str
    survivor: str
    kind: str = "Patient"


@dataclass(frozen=True, slots=True)
class Translation:
    """All that one entry asserts.

    `recorded` (EVN-2, else MSH-7; FHIR meta.lastUpdated) and `occurred` (EVN-6, business time) are FHIR dateTimes with
    an offset, or None. `complete` names the resource types which this entry carries completely, so that absence means
    none (FOLD 5). `patients` are the ids of the patients it is about, the primary one first.
    """

    trigger: str
    recorded: str | None
    occurred: str | None
    assertions: list[Assertion]
    patients: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    links: tuple[Link, ...] = ()
    complete: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = field(default=())
