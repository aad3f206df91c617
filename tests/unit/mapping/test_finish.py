"""Drafts become assertions: one an id, none that lacks something required, and no reference to what is left out."""

import pytest

from fhir_bridge.mapping.drafts import Draft
from fhir_bridge.mapping.finish import assertion, assertions, finish


def draft(resource_id: str, needs=(), **elements) -> Draft:
    made = Draft("Thing", resource_id, f"Thing|{resource_id}", needs)
    made.resource.update(elements)
    return made


def finished(*drafts: Draft) -> tuple[list[dict], list[str]]:
    lost: list[str] = []
    kept = finish(list(drafts), lambda one: lost.append(one.id))
    bare = [assertion(one).resource for one in kept.values()]
    return [{k: v for k, v in one.items() if k != "resourceType"} for one in bare], lost


def test_two_of_one_id_are_joined_the_first_one_winning():
    kept, lost = finished(draft("a", status="x", name=[1]), draft("b"), draft("a", status="y", name=[1, 2], note="n"))
    assert kept == [{"id": "a", "status": "x", "name": [1, 2], "note": "n"}, {"id": "b"}]
    assert not lost


def test_a_remembered_draft_is_shared_and_cannot_be_changed():
    kept = draft("a", name=[{"family": "A"}]).remembered()
    first = assertions([kept])[0].resource
    with pytest.raises(TypeError):
        first["name"].append("changed")
    first.clear()
    assert assertions([kept])[0].resource == {"resourceType": "Thing", "id": "a", "name": [{"family": "A"}]}


def test_a_remembered_draft_is_not_changed_by_what_is_joined_to_it():
    remembered = draft("a", name=[1]).remembered()
    assert finished(remembered, draft("a", name=[2]))[0] == [{"id": "a", "name": [1, 2]}]
    assert assertion(remembered).resource["name"] == [1]


NEEDS = (("status",), ("whenDate", "whenString"))


@pytest.mark.parametrize(
    ("elements", "stands"),
    [
        ({"status": "x", "whenDate": "y"}, True),
        ({"status": "x", "whenString": "y"}, True),
        ({"status": "x"}, False),
        ({}, False),
    ],
)
def test_what_is_required_must_be_there_a_choice_in_one_of_its_forms(elements, stands):
    kept, lost = finished(draft("a", NEEDS, **elements))
    assert (bool(kept), bool(lost)) == (stands, not stands)


def test_references_to_what_is_left_out_go_with_it():
    gone = {"reference": "Thing/gone"}
    kept, lost = finished(
        draft("gone", NEEDS),
        draft("a", subject=gone, other={**gone, "display": "kept"}, members=[gone, {"reference": "Thing/a"}]),
        draft("b", parts=[{"who": gone, "what": 1}, {"what": 2}], only=[{"who": gone}], inner={"deep": gone, "x": 1}),
    )
    assert kept == [
        {"id": "a", "other": {"display": "kept"}, "members": [{"reference": "Thing/a"}]},
        {"id": "b", "parts": [{"what": 2}], "inner": {"x": 1}},
    ]
    assert lost == ["gone"]


def test_what_then_lacks_something_goes_too():
    kept, lost = finished(draft("a", NEEDS), draft("b", (("subject",),), subject={"reference": "Thing/a"}), draft("c"))
    assert [one["id"] for one in kept] == ["c"]
    assert lost == ["a", "b"]


@pytest.mark.parametrize(
    ("elements", "deleted"),
    [
        ({}, ("name", "period.end", "extension|u", "participant|C")),
        ({"name": [1], "period": {"end": 1}}, ("extension|u", "participant|C")),
        ({"period": {"start": 1}, "extension": [{"url": "u"}]}, ("name", "period.end", "participant|C")),
        ({"participant": [{"type": [{"coding": [{"code": "C"}]}]}]}, ("name", "period.end", "extension|u")),
    ],
)
def test_what_the_resource_states_is_not_deleted(elements, deleted):
    one = draft("a", **elements)
    one.deleted = ["name", "period.end", "extension|u", "participant|C", "name"]
    assert assertion(one).deleted == deleted
