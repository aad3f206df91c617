"""Step 2: a raw entry becomes assertions about resources, by the sets that are in force for it. CPU only.

HL7 v2 goes through the compiled mapping set; a pushed FHIR resource already is an assertion. Bytes are read by a
parser that wiring puts in, so that no wire format is known here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from fhir_bridge.pipeline.errors import Ignored, Poison, Refused
from fhir_bridge.pipeline.minors import CONSENT_AGES
from fhir_bridge.pipeline.sensitivity import Sensitivity, labelled
from fhir_bridge.record import merge
from fhir_bridge.record.assertion import Assertion, Translation
from fhir_bridge.record.clocks import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fhir_bridge.pipeline.context import InForce
    from fhir_bridge.pipeline.ports import Entry, JournalReader


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """What a feed's messages mean: whose they are, their zone, character set and default assigning authority.

    `site` is the overlay that they are mapped by, `precision` that of the feed's clock, in µs (FOLD 2). A feed that
    `carries_protection` tells of wishes for it (PD1-12, PV2-22): until it did, a patient is protected.
    """

    source: str = "ehr"
    zone: str = "UTC"
    charset: str | None = None
    authority: str = ""
    site: str = ""
    precision: int = SECOND
    carries_protection: bool = False

    def tzinfo(self) -> ZoneInfo:
        """The zone of times that are sent without one."""
        return ZoneInfo(self.zone)


class TranslateHl7v2(Protocol):
    """Bytes of one HL7 v2 message to its assertions. Raises Ignored (no mapping) or Poison (cannot be read)."""

    def __call__(self, body: bytes, feed: FeedSettings, received_at: int) -> Translation:
        """Translate one message."""
        ...


@dataclass(slots=True)
class Sets:
    """The sets in force (FOLD 11): mapping, rules and settings, each with the hash that is kept with every outcome."""

    hashes: dict[str, str]
    translate_hl7v2: TranslateHl7v2
    force: InForce
    feeds: Mapping[str, FeedSettings] = field(default_factory=dict)
    precedence: tuple[str, ...] = ()
    zone: str = "UTC"
    destination: str = ""
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    consent_ages: Mapping[str, int] = field(default_factory=lambda: CONSENT_AGES)

    @property
    def digest(self) -> str:
        """The hashes in one word."""
        return " ".join(f"{kind}:{digest[:12]}" for kind, digest in sorted(self.hashes.items()))

    def feed(self, name: str) -> FeedSettings:
        """A feed's settings; the installation's own feeds have the facility's zone."""
        return self.feeds.get(name) or FeedSettings(zone=self.zone)


class SetsInForce(Protocol):
    """Where the fold finds the sets, and puts others in force when an activation entry says so."""

    current: Sets | None

    def activate(self, body: bytes) -> tuple[str, str]:
        """Put the set in an activation entry in force; its kind and hash. Raises Poison, and changes nothing then."""
        ...

    def restore(self, active: Mapping[str, tuple[str, int]], journal: JournalReader) -> None:
        """Put in force what a state says is in force, (hash, seq of its entry) by kind."""
        ...


def hl7v2(entry: Entry, sets: Sets) -> Translation:
    """An HL7 v2 entry's assertions."""
    feed = sets.feed(entry.feed)
    translation = sets.translate_hl7v2(entry.body, feed, entry.received_at)
    return labelled(translation, sets.sensitivity, awaits_protection=feed.carries_protection)


ACCEPTED = frozenset({"Patient", "Appointment", "Communication", "Consent"})


Find: TypeAlias = "Callable[[str, str], str | None]"
"""The id here of what a sender calls ``Patient``, ``77``; None where it is not known."""


def fhir(body: Mapping[str, Any], sets: Sets, find: Find) -> Translation:
    """A pushed FHIR resource's assertions. It is found again by its business identifier, as HL7 v2's is."""
    resource = dict(body["resource"])
    kind = resource["resourceType"]
    if kind not in ACCEPTED:
        raise Ignored("fhir-type-not-taken", kind)
    resource["id"], key = _identify(resource, resource.get("id") or body.get("id"), sets.force.namespace, find)
    _localise(resource, sets.force.namespace, find)
    patient = resource["id"] if kind == "Patient" else _patient_of(resource)
    if patient is None:
        title = "The resource names no patient that is known here by that id or identifier"
        raise Refused(422, "no-patient", title, f"{kind}.subject")
    meta = resource.pop("meta", {})
    recorded = meta.get("lastUpdated")
    security = {k: v for k, v in meta.items() if k in ("security", "tag")}
    if security:
        resource["meta"] = security
    return labelled(Translation(kind, recorded, None, [Assertion(resource, key)], (patient,)), sets.sensitivity)


def _identify(resource: dict[str, Any], sent_id: str | None, namespace: uuid.UUID, find: Find) -> tuple[str, str]:
    """The id and key of a resource: by its identifier, else by the id that its sender gave it."""
    kind = resource["resourceType"]
    for identifier in sorted(resource.get("identifier", ()), key=_medical_record_first):
        if identifier.get("system") and identifier.get("value"):
            key = f"{kind}|{identifier['system']}|{identifier['value']}"
            return str(uuid.uuid5(namespace, key)), key
    if not sent_id:
        raise Refused(422, "no-identifier", "The resource has neither an identifier with a system nor an id", kind)
    key = f"{kind}|id|{sent_id}"
    return find(kind, sent_id) or str(uuid.uuid5(namespace, key)), key


def _medical_record_first(identifier: Mapping[str, Any]) -> bool:
    codings = identifier.get("type", {}).get("coding", ())
    return not any(coding.get("code") == "MR" for coding in codings)


def _localise(resource: dict[str, Any], namespace: uuid.UUID, find: Find) -> None:
    """Point references at the ids that things have here; one that leads nowhere here loses its literal reference."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("reference"), str) or isinstance(value.get("identifier"), dict):
            return _local(value, namespace, find)
        return {name: walk(inner) for name, inner in value.items()}

    for name in ("subject", "patient", "sender", "participant", "recipient", "encounter"):
        if name in resource:
            resource[name] = walk(resource[name])


def _local(reference: dict[str, Any], namespace: uuid.UUID, find: Find) -> dict[str, Any]:
    kind, _, sent_id = reference.get("reference", "").rpartition("/")
    kind = kind.rpartition("/")[2]
    found = find(kind, sent_id) if kind and sent_id else None
    if found:
        return {**reference, "reference": f"{kind}/{found}"}
    identifier = reference.get("identifier", {})
    named = reference.get("type") or kind or "Patient"
    if named == "Patient" and identifier.get("system") and identifier.get("value"):
        key = f"Patient|{identifier['system']}|{identifier['value']}"
        return {**reference, "reference": f"Patient/{uuid.uuid5(namespace, key)}"}
    if kind:
        known = {name: value for name, value in reference.items() if name != "reference"}
        return {"type": kind, **known, "display": reference.get("display") or f"{kind} of the sender"}
    return reference


def _patient_of(resource: Mapping[str, Any]) -> str | None:
    references = [resource.get("subject"), resource.get("patient")]
    references += [p.get("actor") for p in resource.get("participant", ())]
    for reference in references:
        text = (reference or {}).get("reference", "")
        if text.startswith("Patient/"):
            return str(text[8:])
    return None


def patient_or_poison(translation: Translation) -> str | None:
    """The primary patient of a translation; None where all of it is the directory's."""
    if translation.patients:
        return translation.patients[0]
    kinds = {assertion.resource["resourceType"] for assertion in translation.assertions}
    if not kinds or not kinds <= merge.DIRECTORY:
        raise Poison("no-patient", "PID-3")
    return None
