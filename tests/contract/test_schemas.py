"""The JSON Schemas for editors: as the loaders' tables of keys say, named in each file's head, and true of each file."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from fhir_bridge.mapping.reference import plain
from fhir_bridge.source import read
from tests.contract.write_schemas import FOLDER, schemas, text
from tests.spec.mapping.wrong_cases import WRONG

MAPPINGS = Path(__file__).parents[2] / "mappings"
KINDS = ("hl7v2_to_fhir", "fhir_to_hl7v2", "sites", "rules", "education")
SHIPPED = sorted(path for kind in KINDS for path in (MAPPINGS / kind).rglob("*.yaml"))
VALIDATORS = {name: jsonschema_rs.validator_for(schema) for name, schema in schemas().items()}
HEAD = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")


def value(path: Path) -> object:
    return plain(read(path.read_text(encoding="utf-8"), path.name))


def test_the_files_are_what_the_tables_of_keys_say():
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == {
        name: text(schema) for name, schema in schemas().items()
    }, "python -m tests.contract.write_schemas"


def test_every_shipped_file_names_its_schema_and_is_valid_by_it():
    wrong = {}
    for path in SHIPPED:
        head = HEAD.match(path.read_text(encoding="utf-8"))
        if head is None or (path.parent / head[1]).resolve().parent != FOLDER:
            wrong[path.name] = ["no schema in its head"]
            continue
        errors = VALIDATORS[Path(head[1]).name].iter_errors(value(path))
        if said := [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]:
            wrong[path.name] = said
    assert wrong == {}
    assert len(SHIPPED) > 100


@pytest.mark.parametrize("kind", ["map", "codes", "message", "row"])
def test_an_unknown_key_is_wrong_in_an_editor_too(kind):
    schema = "map" if kind == "row" else kind
    wrong = value(WRONG / f"unknown-key-of-{kind}.yaml")
    assert not VALIDATORS[f"{schema}.schema.json"].is_valid(wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("map", {"map": "PID[Patient]"}),
        ("map", {"map": "PID[Patient]", "rows": [{"from": "PID7", "to": "birthDate"}]}),
        ("map", {"map": "PID[Patient]", "rows": [{"from": "PID-7", "to": "birthDate", "pick": "second"}]}),
        ("codes", {"codes": "Sex", "table": {"F": {"display": "Female"}}}),
        ("codes", {"codes": "Sex", "table": {}, "unmapped": "leave"}),
        ("message", {"message": "ADT", "triggers": {"A01": {}}, "rows": []}),
        ("message", {"message": "ADT", "triggers": {}, "rows": [{"make": "Patient"}]}),
        ("message", {"message": "ADT", "triggers": {}, "rows": [{"segment": "PID", "each": "yes"}]}),
        ("overlay", {"overlay": "x", "level": "hospital"}),
        ("alter", {"alter": "PID[Patient]", "change": [{"set": {"to": "gender"}}]}),
        ("examples", {"examples": "PID[Patient]", "cases": [{"input": "PID|1"}]}),
        ("rules", {"rules": [{"code": "x"}]}),
        ("out-map", {"map": "Patient[PID]", "rows": [{"from": "gender"}]}),
        ("out-message", {"send": "MDM", "of": "Patient", "triggers": {"T02": {}}, "segments": []}),
    ],
)
def test_what_the_loader_would_refuse_by_its_form_is_not_valid(kind, wrong):
    assert not VALIDATORS[f"{kind}.schema.json"].is_valid(wrong)
