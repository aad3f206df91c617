"""An obligation as a FHIR R4 Task. Projected when asked for, so that the resource cannot disagree with the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record.clocks import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES = "urn:fhir-bridge:rule"
QUEUES = "urn:fhir-bridge:queue"
GROUPS = "urn:fhir-bridge:task-group"
REASONS = "urn:fhir-bridge:status-reason"
BUSINESS = "urn:fhir-bridge:business-status"
EVIDENCE = "urn:fhir-bridge:evidence"
OUTPUT = "urn:fhir-bridge:output"


def task_resource(row: Mapping[str, Any], rule: Mapping[str, Any] | None) -> dict[str, Any]:
    """FHIR R4 Task of a task row (columns of the table `task`, `doc` decoded) and what its rule says of itself.

    `rule` has title, citation and version where the rule is still known. Evidence becomes Task.input, what was done
    Task.output, the clock restriction.period (start = its origin, end = due).
    """
    doc = row["doc"]
    resource: dict[str, Any] = {
        "resourceType": "Task",
        "id": row["id"],
        "meta": {"versionId": str(row["version"])},
        "groupIdentifier": {"system": GROUPS, "value": row["grp"]},
        "status": row["status"],
        "intent": "order",
        "priority": row["priority"],
        "code": _concept(RULES, row["rule"], (rule or {}).get("title")),
        "for": {"reference": f"Patient/{row['root']}"},
        "focus": {"reference": f"{row['scope_type']}/{row['scope_id']}"},
        "authoredOn": iso(row["opened_at"]),
        "lastModified": doc["history"][-1]["at"] if doc.get("history") else iso(row["opened_at"]),
        "performerType": [_concept(QUEUES, row["queue"])],
        "reasonCode": _reason(row, rule),
    }
    if row["scope_type"] == "Encounter":
        resource["encounter"] = {"reference": f"Encounter/{row['scope_id']}"}
    if row["business_status"]:
        resource["businessStatus"] = _concept(BUSINESS, row["business_status"])
    if doc.get("status_reason"):
        resource["statusReason"] = _concept(REASONS, doc["status_reason"])
    if row["owner"]:
        resource["owner"] = {"identifier": {"system": "urn:fhir-bridge:principal", "value": row["owner"]}}
    period = {
        name: iso(row[column]) for name, column in (("start", "start"), ("end", "due")) if row[column] is not None
    }
    if period:
        resource["restriction"] = {"period": period}
    if doc.get("comments"):
        resource["note"] = [{"text": c["text"], "authorString": c["by"]} for c in doc["comments"]]
    if doc.get("evidence"):
        resource["input"] = [_input(item) for item in doc["evidence"]]
    if doc.get("output"):
        resource["output"] = _output(doc["output"])
    return resource


def _reason(row: Mapping[str, Any], rule: Mapping[str, Any] | None) -> dict[str, Any]:
    concept = _concept(RULES, row["rule"])
    concept["coding"][0]["version"] = str(row["rule_version"])
    if rule and rule.get("citation"):
        concept["text"] = rule["citation"]
    return concept


def _concept(system: str, code: str, text: str | None = None) -> dict[str, Any]:
    concept: dict[str, Any] = {"coding": [{"system": system, "code": code}]}
    if text:
        concept["text"] = text
    return concept


def _input(item: Mapping[str, Any]) -> dict[str, Any]:
    """One piece of evidence: the element that was looked at, and the journal entry that last wrote it."""
    code = f"{item['variable']}.{item['element']}"
    return {"type": _concept(EVIDENCE, code), "valueString": f"{item['resource']} by entry {item['seq']}"}


def _output(output: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": _concept(OUTPUT, name), "valueString": str(value)} for name, value in sorted(output.items()) if value
    ]
