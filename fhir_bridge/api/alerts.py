"""Alerts: what everyone who meets a patient must know, read from the record. Pure.

The language that is no alert is the facility's. More alerts belong here, not in the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.privacy.projection import REDISCLOSURE, is_vip, unlisted
from fhir_bridge.record import project
from fhir_bridge.record.labels import PART2, labels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INTERPRETER = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
NEEDS_INTERPRETER = "A8"
"""HL7 v2 table 0009 (PV1-15): a translator is needed."""
RESTRICTED = {"R": "restricted", "V": "very restricted"}
_LIVE = frozenset({"planned", "arrived", "triaged", "in-progress", "onleave"})


def of(
    patient: Mapping[str, Any],
    encounters: Sequence[Mapping[str, Any]],
    *,
    test: bool,
    language: str,
    blocked: frozenset[str] = frozenset(),
) -> list[dict[str, str]]:
    """The alerts of a patient, the gravest first."""
    live = [encounter for encounter in encounters if encounter.get("status") in _LIVE]
    return [
        {"code": code, "text": text}
        for found in (
            _deceased(patient),
            _test(test),
            _restricted(patient),
            _courtesy(live),
            _part2(encounters),
            _minor(encounters, blocked),
            _directory(patient, live),
            _language(patient, live, language),
        )
        for code, text in found
    ]


def _deceased(patient: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if project.deceased(dict(patient)):
        when = str(patient.get("deceasedDateTime", ""))[:10]
        yield "deceased", f"Died on {when}." if when else "Has died."


def _test(test: bool) -> Iterator[tuple[str, str]]:
    if test:
        yield "test", "A test patient: nothing is sent, written or counted."


def _restricted(patient: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for label in patient.get("meta", {}).get("security", ()):
        if label.get("code") in RESTRICTED:
            yield "confidential", f"This record is {RESTRICTED[label['code']]}."


def _courtesy(live: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if any(is_vip(encounter) for encounter in live):
        yield "vip", "Special courtesy (VIP)."


def _part2(encounters: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if any(labels_of(encounter) & PART2 for encounter in encounters):
        yield "part-2", REDISCLOSURE


def _minor(encounters: Sequence[Mapping[str, Any]], blocked: frozenset[str]) -> Iterator[tuple[str, str]]:
    if any(labels_of(encounter) & blocked for encounter in encounters):
        yield "minor-consented", "A minor who consented alone: nothing of it to parents, guardians or guarantors."


def _directory(patient: Mapping[str, Any], live: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if any(unlisted(resource) for resource in (patient, *live)):
        yield "directory-opt-out", "Presence is not confirmed to anyone, callers included."


def _language(
    patient: Mapping[str, Any], live: Sequence[Mapping[str, Any]], facility: str
) -> Iterator[tuple[str, str]]:
    spoken = _preferred(patient)
    foreign = spoken is not None and spoken["code"].split("-")[0].lower() != facility.split("-", maxsplit=1)[0].lower()
    if foreign and spoken is not None:
        yield "language", f"Speaks {spoken['name']}."
    asked = any(e.get("url") == INTERPRETER and e.get("valueBoolean") for e in patient.get("extension", ()))
    arranged = any(
        coding.get("code") == NEEDS_INTERPRETER
        for encounter in live
        for concept in encounter.get("hospitalization", {}).get("specialArrangement", ())
        for coding in concept.get("coding", ())
    )
    if foreign or asked or arranged:
        yield "interpreter", "Needs an interpreter."


def _preferred(patient: Mapping[str, Any]) -> dict[str, str] | None:
    languages = patient.get("communication", ())
    chosen = next((entry for entry in languages if entry.get("preferred")), languages[0] if languages else None)
    if chosen is None:
        return None
    concept = chosen.get("language", {})
    coding: dict[str, str] = next(iter(concept.get("coding", ())), {})
    code = coding.get("code", "")
    return {"code": code, "name": concept.get("text") or coding.get("display") or code} if code else None
