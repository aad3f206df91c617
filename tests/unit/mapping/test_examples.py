"""Examples beside maps: how they are read, run alone, and what is said where they come out otherwise."""

import textwrap

import pytest

from fhir_bridge.mapping.examples import outcome, read_examples, run
from fhir_bridge.mapping.load import read_files
from tests.unit.mapping.made_up import CONTEXT, compiled, patient, read

ROWS = """{from: PID-3, to: "identifier[]", using: "CX[Identifier]"}
{from: PID-7, to: birthDate}
{from: PID-5, to: 'generalPractitioner[]', make: Practitioner, using: 'XPN[Practitioner]', key: [XPN.1]}"""
DOCTOR = "map: XPN[Practitioner]\nrows:\n  - {from: XPN, to: 'name[]', using: 'XPN[HumanName]'}\n"
GOOD = """
    examples: PID[Patient]
    cases:
      - shows: a date of birth
        input: PID|1||7^^^LGH||GREY^ANN||195103
        output:
          identifier: [{value: '7', system: 'urn:fhir-bridge:authority:LGH'}]
          generalPractitioner: [{reference: Practitioner/1}]
          birthDate: 1951-03
        made:
          - {resourceType: Practitioner, id: 1, name: [{family: GREY, given: [ANN]}]}
    """
FILES = patient(ROWS, **{"XPN[Practitioner].yaml": DOCTOR})


def parse(raw):
    return read(*raw.decode().rstrip("\r").split("\r"))


def told(examples, files=FILES):
    name = "PID[Patient].examples.yaml"
    problems = []
    found = read_examples({name: textwrap.dedent(examples).lstrip("\n").encode()}, problems)
    maps = read_files(files)[0].maps
    return [str(one) for one in [*problems, *run(compiled(files), maps, found, parse, CONTEXT)]]


def test_a_map_is_run_alone_and_what_it_makes_beside_is_numbered():
    assert told(GOOD) == []


def test_examples_are_no_tables():
    examples = {"PID[Patient].examples.yaml": textwrap.dedent(GOOD).encode()}
    assert compiled({**FILES, **examples}).hash == compiled(FILES).hash


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1951-03", "1951-04", ":8:18: found output.birthDate: 1951-03; expected 1951-04"),
        ("birthDate: 1951-03", "", ":6:7: found output.birthDate: 1951-03; expected nothing"),
        ("birthDate: 1951-03", "gender: male", ":8:15: found output.gender: nothing; expected male"),
        ("'7'", "'8'", ":6:28: found output.identifier[0].value: 7; expected 8"),
        ("given: [ANN]", "given: [ANN, B]", "found made[0].name[0].given[1]: nothing; expected B"),
        ("PID|1", "PV1|1", ":3:5: found an input without its segment; expected a line that begins with PID"),
        ("PID[Patient]", "PID[Patien]", ":3:5: found examples: PID[Patien]; expected the name of a map; did you mean PID"),
        ("shows:", "show:", ":3:5: found the key show; expected a key of a case: shows, trigger"),
        ("input:", "trigger: A01\n        input:", ":4:5: found A01; expected a trigger such as ADT^A01"),
        ("cases:", "cases: [", "found broken YAML"),
    ],
)  # fmt: skip
def test_what_comes_out_otherwise_is_said_at_its_line(old, new, said):
    found = told(GOOD.replace(old, new))
    assert any(said in one for one in found), found


def test_a_data_type_is_run_on_its_text():
    files = {
        "CX.examples.yaml": b"examples: CX[Identifier]\ncases:\n  - {shows: x, input: 7^^^LGH, output: {value: '7'}}\n"
    }
    (example,) = read_examples(files, [])
    made = outcome(compiled(FILES), read_files(FILES)[0].maps["CX[Identifier]"], example, parse, CONTEXT)
    assert made is not None
    assert made.output == {"value": "7", "system": "urn:fhir-bridge:authority:LGH"}
