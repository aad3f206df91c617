"""I4 for real messages of every trigger: whatever order they arrive in, doubled or late, the same record and open tasks."""

import uuid
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.fhir import definitions
from adapters.hl7v2 import er7
from adapters.hl7v2.definitions import Hl7Definitions
from fhir_bridge.mapping import NotMapped, TranslateContext, load
from fhir_bridge.record import merge, project, replaced
from fhir_bridge.record.clocks import iso

from .conftest import MINUTE, NAMESPACE, START, World

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "hl7v2"
PATHS = [*sorted(FIXTURES.glob("adt_*.hl7")), *sorted(FIXTURES.glob("triggers/*.hl7"))]
NAMES = [path.stem for path in PATHS]
ABOUT_VISITS = [name for name in NAMES if name[:7] in {f"adt_a{n:02}" for n in (*range(1, 28), 38, *range(50, 56))}]
ABOUT_NUMBERS = [name for name in NAMES if name[4:7] in {"a18", *(f"a{n}" for n in range(34, 52))}]
ABOUT_DOCUMENTS = [name for name in NAMES if name.startswith("mdm_")]


def _id(kind, number, authority):
    return str(uuid.uuid5(NAMESPACE, f"{kind}|urn:fhir-bridge:authority:{authority}|{number}"))


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """name of a fixture → what it asserts."""
    tables = load(
        ROOT / "mappings" / "hl7v2_to_fhir", definitions.load(), Hl7Definitions(), tmp_path_factory.mktemp("cache")
    )
    context = TranslateContext(NAMESPACE, ZoneInfo("America/New_York"), authority="LGH")
    found = {}
    for path in PATHS:
        try:
            found[path.stem] = tables.translate(er7.parse(path.read_bytes()), context)
        except NotMapped:
            continue
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("states")


def told(scratch, said, names, order):
    """Fold messages, recorded in the order of `names`, in an order of arrival; the record and open tasks then."""
    world = World(scratch / f"{uuid.uuid4()}.db")
    for place in order:
        world.fold(replace(said[names[place]], recorded=iso(START + place * MINUTE), occurred=None))
    docs = [orjson.loads(row[0]) for row in world.state._db.execute("SELECT doc FROM part ORDER BY id")]
    by_id = {doc["id"]: doc for doc in docs}
    record = {}
    for doc in docs:
        whole = replaced.whole(doc, by_id.get)
        sets = {kind: merge.members(doc, kind) for kind in merge.OWNERS}
        record[doc["type"], doc["id"]] = (
            _sorted(project.resource(whole)), sets, merge.owner(doc), replaced.into(doc), doc.get("merged"), doc["first"],
        )  # fmt: skip
    tasks = {
        (row.rule, row.scope_id, row.anchor, row.root, row.start, row.due, row.queue)
        for row in world.state.tasks_of(sorted(by_id))
        if row.open
    }
    roots = {row[0]: row[1] for row in world.state._db.execute("SELECT id, root FROM patient")}
    world.state.close()
    return record, tasks, roots


def _sorted(resource):
    """Lists whose members have registers of their own come in the order in which these were made."""
    return {
        name: sorted(value, key=repr) if name in {"identifier", "extension", "participant", "link"} else value
        for name, value in resource.items()
    }


@pytest.mark.parametrize(
    "names", [ABOUT_VISITS, ABOUT_NUMBERS, ABOUT_DOCUMENTS, NAMES], ids=["visits", "numbers", "documents", "all"]
)
def test_messages_of_every_trigger_in_any_order_end_in_the_same_record(names, said, scratch):
    @settings(max_examples=30, deadline=None, database=None)
    @given(st.data())
    def run(data):
        chosen = data.draw(st.lists(st.sampled_from([n for n in names if n in said]), min_size=2, max_size=7))
        in_order = list(range(len(chosen)))
        shuffled = data.draw(st.permutations(in_order))
        doubled = data.draw(st.lists(st.sampled_from(in_order), max_size=2))
        assert told(scratch, said, chosen, shuffled + doubled) == told(scratch, said, chosen, in_order)

    run()


def encounter(world, number):
    doc = world.state.part(_id("Encounter", number, "LGHVN"))
    return project.resource(replaced.whole(doc, world.state.part))


def fold(world, said, *names):
    for place, name in enumerate(names):
        world.fold(replace(said[name], recorded=iso(START + place * MINUTE), occurred=None))


@pytest.mark.parametrize(
    ("names", "visit", "status"),
    [
        (["adt_a06", "adt_a07"], "2048201", "in-progress"),
        (["adt_a06", "adt_a21"], "2048201", "onleave"),
        (["adt_a06", "adt_a21", "adt_a22"], "2048201", "in-progress"),
        (["adt_a06", "adt_a21", "adt_a22", "adt_a53"], "2048201", "onleave"),
        (["adt_a06", "adt_a21", "adt_a52"], "2048201", "in-progress"),
        (["adt_a14"], "2048230", "planned"),
        (["adt_a14", "adt_a27"], "2048230", "cancelled"),
        (["adt_a14", "adt_a38"], "2048230", "cancelled"),
        (["adt_a14", "adt_a23"], "2048230", "cancelled"),
        (["adt_a16", "adt_a25"], "2048201", "in-progress"),
    ],
)
def test_a_visit_stands_as_its_messages_say(names, visit, status, said, world):
    fold(world, said, *names)
    assert encounter(world, visit)["status"] == status


def planned_end(resource):
    return [e["valueDateTime"] for e in resource.get("extension", ()) if e["url"].endswith("plannedEndDate")]


def test_a_discharge_that_is_no_longer_expected_takes_its_date_along(said, world):
    fold(world, said, "adt_a06", "adt_a16")
    assert planned_end(encounter(world, "2048201")) == ["2026-04-08"]
    fold(world, said, "adt_a06", "adt_a16", "adt_a25")
    assert planned_end(encounter(world, "2048201")) == []


def place(resource):
    return next(one["location"]["display"] for one in resource["location"] if one["status"] == "active")


def test_two_patients_who_change_beds_both_move_and_a_cancelled_transfer_brings_the_earlier_place_back(said, world):
    fold(world, said, "adt_a06", "adt_a17")
    assert [place(encounter(world, visit)) for visit in ("2048201", "2048177")] == ["7E 704 B", "6W 612 A"]
    fold(world, said, "adt_a06", "adt_a17", "adt_a12")
    assert place(encounter(world, "2048201")) == "6W 612 A"


def test_a_visit_with_another_number_takes_facts_and_tasks_along(said, world):
    """A50: the visit was admitted under its old number; it is the same visit under the new one, and owes what it owed."""
    old = replace(said["adt_a06"], recorded=iso(START), occurred=None)
    renamed = replace(said["adt_a50"], recorded=iso(START + MINUTE), occurred=None)
    [link] = renamed.links
    visit = next(a for a in old.assertions if a.resource["resourceType"] == "Encounter")
    identity = {visit.resource["id"]: link.retired}
    moved = [_renamed(a, identity) for a in old.assertions]
    facts = tuple(replace(fact, subject=link.retired) for fact in old.facts)
    world.fold(replace(old, assertions=moved, facts=facts))
    assert {row.scope_id for row in world.state.tasks_of([link.retired]) if row.open} == {link.retired}
    world.fold(renamed)
    tasks = world.state.tasks_of([link.retired, link.survivor])
    assert {row.scope_id for row in tasks if row.open} == {link.survivor}
    assert {row.doc["status_reason"] for row in tasks if not row.open} == {"merged"}
    assert encounter(world, "2048177")["status"] == "in-progress"
    assert encounter(world, "2048170")["status"] == "entered-in-error"


def _renamed(assertion, identity):
    text = orjson.dumps(assertion.resource).decode()
    for old, new in identity.items():
        text = text.replace(old, new)
    return replace(assertion, resource=orjson.loads(text))


def test_a_visit_and_an_account_move_to_the_patient_whose_they_are(said, world):
    fold(world, said, "adt_a42", "adt_a45", "adt_a41", "adt_a44")
    thanh = _id("Patient", "70066120", "LGH")
    assert merge.owner(world.state.part(_id("Encounter", "2048177", "LGHVN"))) == thanh
    assert merge.owner(world.state.part(_id("Account", "81100866", "LGHAN"))) == thanh


def document(world, number):
    return project.resource(world.state.part(_id("DocumentReference", number, "LGHDOC")))


@pytest.mark.parametrize(
    ("names", "number", "status"),
    [
        (["mdm_t02"], "DOC-7001", "current"),
        (["mdm_t02", "mdm_t06"], "DOC-7001", "current"),
        (["mdm_t02", "mdm_t10"], "DOC-7001", "superseded"),
        (["mdm_t02", "mdm_t10", "mdm_t08"], "DOC-7001", "superseded"),
        (["mdm_t02", "mdm_t10"], "DOC-7003", "current"),
        (["mdm_t02", "mdm_t11"], "DOC-7001", "entered-in-error"),
        (["mdm_t11", "mdm_t04"], "DOC-7001", "entered-in-error"),
        (["mdm_t11", "mdm_t02"], "DOC-7001", "current"),
    ],
)
def test_a_document_stands_as_its_messages_say(names, number, status, said, world):
    fold(world, said, *names)
    assert document(world, number)["status"] == status


@pytest.mark.parametrize(
    ("names", "status"),
    [(["bar_p01"], "active"), (["bar_p01", "bar_p06"], "inactive"), (["bar_p06", "bar_p05"], "inactive")],
)
def test_an_account_stands_as_its_messages_say(names, status, said, world):
    fold(world, said, *names)
    assert project.resource(world.state.part(_id("Account", "81100317", "LGHAN")))["status"] == status


def allergies(world):
    doc = world.state.part(_id("Patient", "70044182", "LGH"))
    return sorted(
        one["code"]["coding"][0].get("display", one["code"].get("text"))
        for one in merge.members(doc, "AllergyIntolerance")
    )


def test_an_action_code_puts_or_removes_one_allergy_and_leaves_the_others(said, world):
    """adt_a06 has penicillin (AL1), adt_a60 puts it again and removes shellfish: alone, either leaves the other be."""
    both = said["adt_a60"]
    said = {
        **said,
        "removal": replace(both, assertions=[a for a in both.assertions if a.action != "put"]),
        "no penicillin": replace(
            both, assertions=[replace(a, action="remove") if a.action == "put" else a for a in both.assertions]
        ),
    }
    fold(world, said, "adt_a06", "removal")
    assert allergies(world) == ["Penicillin G"]
    fold(world, said, "adt_a06", "removal", "no penicillin")
    assert allergies(world) == []


def test_records_that_are_linked_stay_two_until_they_are_unlinked(said, world):
    marisol, ines = _id("Patient", "70044182", "LGH"), _id("Patient", "70102233", "LGH")
    fold(world, said, "adt_a24")
    assert {row.id: row.root for row in map(world.state.patient, (marisol, ines))} == {marisol: marisol, ines: ines}
    assert project.resource(world.state.part(ines))["link"] == [
        {"other": {"reference": f"Patient/{marisol}"}, "type": "seealso"}
    ]
    fold(world, said, "adt_a24", "adt_a37")
    assert "link" not in project.resource(world.state.part(ines))


def test_a_visit_that_is_only_mentioned_keeps_what_adt_says_of_it(said, world):
    fold(world, said, "mdm_t02")
    assert encounter(world, "2048201").keys() == {"resourceType", "id", "identifier", "status", "subject", "meta"}
    fold(world, said, "adt_a07", "adt_a06", "bar_p01", "oru_r01")
    assert encounter(world, "2048201")["class"]["code"] == "IMP"


def test_a_number_that_moves_on_to_another_visit_is_the_newest_one_s_in_any_order(said, scratch):
    """A42 merges 2048170 into 2048177, A45 later into 2048171."""
    names = ["adt_a42", "adt_a45"]
    record, *_ = told(scratch, said, names, [0, 1])
    old, former, newest = (
        ("Encounter", _id("Encounter", number, "LGHVN")) for number in ("2048170", "2048177", "2048171")
    )
    assert (record[old][3], record[former][4], record[newest][4]) == (newest[1], None, [old[1]])
    assert told(scratch, said, names, [1, 0])[0] == record
