"""The unified view of one patient: everything that is known, from few queries inside one snapshot.

It stands apart from the route so that it can be measured and tested without HTTP. Each section is cut at a length and
named in `more` then; what was left out is found by the lists. Who may see it was decided before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from fhir_bridge.api import alerts, shapes
from fhir_bridge.gateway import paging
from fhir_bridge.gateway.ports import TaskSearch
from fhir_bridge.privacy import Action, sees, shows
from fhir_bridge.privacy import project as leave
from fhir_bridge.record import merge, project, replaced
from fhir_bridge.record.labels import encounter_of, labels_in, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.gateway.ports import Key, Ports, Row
    from fhir_bridge.gateway.reading import Shown

May: TypeAlias = "Callable[[Action], bool]"
"""Whether the caller has a right."""

SECTION = 20
SECTIONS = {
    "documents": "DocumentReference",
    "procedures": "Procedure",
    "results": "Observation",
    "referrals": "ServiceRequest",
    "accounts": "Account",
}
"""Sections that are parts of the record as they stand, newest first."""
TIMELINE = 20
MERGED = 20


class _Page:
    """Collects the sections, and the names of those that were cut."""

    def __init__(self) -> None:
        self.more: list[str] = []

    def cut(self, name: str, rows: list[Any], length: int = SECTION) -> list[Any]:
        if len(rows) > length:
            self.more.append(name)
        return rows[:length]


def compose(ports: Ports, shown: Shown, may: May) -> dict[str, Any]:
    """The view of one patient, as answers.PatientView has it; sections to which the caller has no right are empty."""
    page, queries = _Page(), ports.queries
    members = page.cut("merged", queries.members(shown.id), MERGED)
    records = queries.patients(members)
    docs = [records[member]["doc"] for member in members if member in records and records[member]["doc"]]
    encounters = _visible(ports, shown, [row["doc"] for row in queries.parts(members, "Encounter", SECTION + 1)])
    encounters = [_whole(ports, doc) for doc in page.cut("encounters", encounters)]
    patient = project.patient(docs, ports.settings.precedence) if docs else shown.resource
    deliveries = page.cut("deliveries", _deliveries(ports, shown, may))
    events, cursor = timeline(ports, shown, may, members, None, TIMELINE)
    visits = _newest_first([_resource(ports, shown, doc) for doc in encounters])
    test = any(record["test"] for record in records.values())
    owners = [*encounters, *docs]
    return {
        "id": shown.id,
        "identity": _identity(ports, shown, patient, members, records),
        "alerts": alerts.of(patient, visits, test=test, language=ports.settings.language, blocked=_blocked(docs)),
        "encounters": visits,
        "appointments": _appointments(ports, shown, page, members),
        **{name: _parts(ports, shown, page, members, name) for name in SECTIONS},
        "coverage": _members(ports, shown, owners, "Coverage"),
        "coverage_known": merge.set_state(owners, "Coverage", ports.settings.precedence),
        "conditions": _members(ports, shown, owners, "Condition"),
        "allergies": _members(ports, shown, owners, "AllergyIntolerance"),
        "contacts": _members(ports, shown, owners, "RelatedPerson"),
        "communications": _communications(ports, shown, page, members, deliveries)
        if shows(shown.decision, "Communication") and may(Action.COMMUNICATION_LIST)
        else [],
        "tasks": _tasks(ports, shown, page, may),
        "deliveries": [shapes.delivery(row, shown.reference) for row in deliveries],
        "timeline": {"items": events, "next": cursor},
        "more": page.more,
    }


def _blocked(docs: list[dict[str, Any]]) -> frozenset[str]:
    """Labels of services to which this minor consents alone."""
    return frozenset(label for doc in docs for label in (doc.get("proxy") or {}).get("blocked", ()))


def event_key(row: Row) -> tuple[Any, ...]:
    """The place of a line in a timeline."""
    return row["at"], row["seq"], row["n"]


def timeline(
    ports: Ports, shown: Shown, may: May, members: list[str], after: Key | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of what happened, without what tells of things that the caller may not see, and its cursor."""
    hidden = _unseen(shown, may)
    kept: list[Row] = []
    more = True
    while more and len(kept) <= limit:
        wanted = limit + 1 - len(kept)
        rows = ports.queries.events(members, after, wanted)
        kept += _told(ports, shown, [row for row in rows if row["kind"].partition(".")[0] not in hidden])
        more = len(rows) == wanted
        after = event_key(rows[-1]) if rows else after
    page, cursor = paging.cut(kept, limit, event_key)
    return [shapes.event(row) for row in page], cursor


def _told(ports: Ports, shown: Shown, rows: list[Row]) -> list[Row]:
    """Those of these lines that are about nothing which the caller is not cleared for; a task is about its scope."""
    if not shown.labels:
        return rows
    refs = {row["ref"]: row["ref"].rpartition("/")[2] for row in rows if row["ref"]}
    for ref, part in refs.items():
        if ref.startswith("Task/") and (task := ports.queries.task(part)) is not None:
            refs[ref] = task["scope_id"]
    return _seen(ports, shown, rows, lambda row: (refs.get(row["ref"], ""),))


def _unseen(shown: Shown, may: May) -> frozenset[str]:
    """What kinds of events (before the dot) the caller does not see."""
    unseen = {
        "task": shown.decision.queues is not None or not may(Action.TASK_LIST),
        "delivery": not may(Action.DELIVERY_LIST),
        "communication": not (shows(shown.decision, "Communication") and may(Action.COMMUNICATION_LIST)),
    }
    return frozenset(kind for kind, left_out in unseen.items() if left_out)


def _deliveries(ports: Ports, shown: Shown, may: May) -> list[Row]:
    if not may(Action.DELIVERY_LIST):
        return []
    rows = ports.queries.deliveries(None, shown.id, None, SECTION + 1)
    return _seen(ports, shown, rows, lambda row: (row["id"], encounter_of(row["resource"])))


def _seen(ports: Ports, shown: Shown, rows: list[Row], parts: Callable[[Row], Iterable[str]]) -> list[Row]:
    """Those of these rows whose parts' labels the caller is cleared for."""
    if not shown.labels:
        return rows
    labels = ports.queries.labels(part for row in rows for part in parts(row) if part)
    return [row for row in rows if all(sees(shown.decision, labels.get(part, frozenset())) for part in parts(row))]


def _visible(ports: Ports, shown: Shown, docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of these parts of the record whose labels, and whose visit's, the caller is cleared for."""
    if not shown.labels:
        return docs
    visits = {doc["id"]: encounter_of(project.resource(doc, ports.settings.precedence)) for doc in docs}
    labels = ports.queries.labels(visit for visit in visits.values() if visit)
    return [doc for doc in docs if sees(shown.decision, labels_in(doc) | labels.get(visits[doc["id"]], frozenset()))]


def _resource(ports: Ports, shown: Shown, doc: dict[str, Any]) -> dict[str, Any]:
    return leave(shown.decision, project.resource(doc, ports.settings.precedence))


def _identity(
    ports: Ports, shown: Shown, patient: dict[str, Any], members: list[str], records: dict[str, Row]
) -> dict[str, Any]:
    retired = members[1:]
    return {
        "name": shown.name,
        "birth_date": patient.get("birthDate"),
        "gender": patient.get("gender"),
        "identifiers": shapes.identifiers(patient),
        "merged": [
            {
                "id": edge["retired"],
                "into": edge["survivor"],
                "at": shapes.moment(edge["clock"]),
                "source": edge["source"],
                "identifiers": _identifiers_of(ports, records.get(edge["retired"])),
            }
            for edge in (ports.queries.links(retired) if retired else ())
        ],
        "resource": leave(shown.decision, patient),
    }


def _identifiers_of(ports: Ports, record: Row | None) -> list[dict[str, Any]]:
    if record is None or not record["doc"]:
        return []
    return shapes.identifiers(project.resource(record["doc"], ports.settings.precedence))


def _newest_first(encounters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(encounters, key=lambda encounter: str(encounter.get("period", {}).get("start", "")), reverse=True)


def _whole(ports: Ports, doc: dict[str, Any]) -> dict[str, Any]:
    """A visit or account with the numbers that it replaces."""

    def load(part_id: str) -> dict[str, Any] | None:
        found = ports.queries.part(part_id)
        return found["doc"] if found else None

    return replaced.whole(doc, load)


def _parts(ports: Ports, shown: Shown, page: _Page, members: list[str], name: str) -> list[dict[str, Any]]:
    kind = SECTIONS[name]
    if not shows(shown.decision, kind):
        return []
    docs = [row["doc"] for row in ports.queries.parts(members, kind, SECTION + 1)]
    cut = page.cut(name, _visible(ports, shown, docs))
    return [_resource(ports, shown, _whole(ports, doc)) for doc in cut]


def _appointments(ports: Ports, shown: Shown, page: _Page, members: list[str]) -> list[dict[str, Any]]:
    docs = [row["doc"] for row in ports.queries.parts(members, "Appointment", SECTION + 1)]
    found = [_resource(ports, shown, doc) for doc in page.cut("appointments", _visible(ports, shown, docs))]
    return sorted(found, key=lambda appointment: str(appointment.get("start", "")), reverse=True)


def _members(ports: Ports, shown: Shown, owners: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Members of a snapshot set in visits and patient, each once, those of the newest visit first."""
    found: dict[str, dict[str, Any]] = {}
    if not shows(shown.decision, kind):
        return []
    for doc in owners:
        for member in project.members_of(doc, kind, ports.settings.precedence):
            if not sees(shown.decision, labels_of(member)):
                continue
            found.setdefault(member.get("id", str(len(found))), leave(shown.decision, member))
    return list(found.values())


def _communications(
    ports: Ports, shown: Shown, page: _Page, members: list[str], deliveries: list[Row]
) -> list[dict[str, Any]]:
    states = {row["id"]: row["state"] for row in deliveries}
    found = []
    docs = [row["doc"] for row in ports.queries.parts(members, "Communication", SECTION + 1)]
    for doc in page.cut("communications", _visible(ports, shown, docs)):
        resource = _resource(ports, shown, doc)
        delivery = shapes.delivery_of(resource)
        found.append(
            {
                "direction": "sent" if delivery else "received",
                "delivery": delivery,
                "state": states.get(delivery) if delivery else None,
                "resource": resource,
            }
        )
    return found


def _tasks(ports: Ports, shown: Shown, page: _Page, may: May) -> dict[str, Any]:
    now, queues = ports.clock(), shown.decision.queues

    def rows(*, still_open: bool) -> list[Row]:
        if not may(Action.TASK_LIST):
            return []
        wanted = [TaskSearch(open=still_open, root=shown.id, queue=queue) for queue in sorted(queues or ())]
        searches = [TaskSearch(open=still_open, root=shown.id)] if queues is None else wanted
        return [row for search in searches for row in ports.queries.tasks(search, None, SECTION + 1)]

    def shape(name: str, *, still_open: bool) -> list[dict[str, Any]]:
        cut = page.cut(name, _seen(ports, shown, rows(still_open=still_open), lambda row: (row["scope_id"],)))
        return [shapes.task(row, ports.rule(row["rule"], row["rule_version"]), shown, now) for row in cut]

    return {"open": shape("tasks.open", still_open=True), "done": shape("tasks.done", still_open=False)}
