"""Frozen JSON is JSON to everyone, and nobody can change it."""

import copy
import json
import pickle

import orjson
import pytest

from fhir_bridge.mapping.frozen import FrozenDict, FrozenList, freeze, thaw

PLAIN = {"name": [{"family": "A", "given": ["B"]}], "active": True, "n": 1}


def frozen():
    return freeze(copy.deepcopy(PLAIN))


def test_it_equals_and_encodes_as_what_it_was_made_from():
    assert frozen() == PLAIN
    assert orjson.dumps(frozen()) == orjson.dumps(PLAIN)
    assert json.dumps(frozen()) == json.dumps(PLAIN)
    assert isinstance(frozen()["name"][0], FrozenDict)
    assert isinstance(frozen()["name"][0]["given"], FrozenList)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 1), lambda d: d.__delitem__("n"), lambda d: d.update(a=1), lambda d: d.setdefault("a", 1), lambda d: d.pop("n"),
        lambda d: d.popitem(), lambda d: d.clear(), lambda d: d.__ior__({"a": 1}),
    ],
)  # fmt: skip
def test_no_dict_changes(change):
    value = frozen()
    with pytest.raises(TypeError, match="cannot be changed"):
        change(value)
    assert value == PLAIN


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.append(1), lambda x: x.extend([1]), lambda x: x.insert(0, 1), lambda x: x.pop(), lambda x: x.remove(x[0]), lambda x: x.clear(),
        lambda x: x.sort(), lambda x: x.reverse(), lambda x: x.__setitem__(0, 1), lambda x: x.__delitem__(0), lambda x: x.__iadd__([1]), lambda x: x.__imul__(2),
    ],
)  # fmt: skip
def test_no_list_changes(change):
    value = frozen()
    with pytest.raises(TypeError, match="cannot be changed"):
        change(value["name"])
    assert value == PLAIN


@pytest.mark.parametrize("loosen", [thaw, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copy_can_be_changed(loosen):
    value = loosen(frozen())
    value["name"][0]["given"].append("C")
    value["name"].append({})
    value["new"] = 1
    assert type(value) is dict
    assert type(value["name"]) is list


def test_adding_to_a_shared_list_gives_another():
    value = frozen()["name"]
    assert [*value, 1] == value + [1] == [PLAIN["name"][0], 1]  # noqa: RUF005 - both ways are used
