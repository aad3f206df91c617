"""What the checker says of an expression, and what it lets through."""

import pytest

from fhir_bridge.tasks.fhirpath import expression, nodes
from fhir_bridge.tasks.fhirpath.faults import CONDITION, MOMENT, FaultyExpression
from fhir_bridge.tasks.fhirpath.read import read

VARIABLES = {
    "patient": "Patient",
    "encounter": "Encounter",
    "conditions": "Condition",
    "facts": "%facts",
    "known": "%known",
}


def faults(text, gives=CONDITION):
    with pytest.raises(FaultyExpression) as faulty:
        read(text, VARIABLES, "Encounter", gives)
    return [(fault.offset, fault.found, fault.nearest) for fault in faulty.value.faults]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%patient.nmae.exists()", [(9, "nmae", "name")]),
        ("%patient.name.where(fmaily = 'x').exists()", [(20, "fmaily", "family")]),
        ("clas.code = 'IMP'", [(0, "clas", "class")]),
        ("%encounter.hospitalization.disposition.exists()", [(27, "disposition", "dischargeDisposition")]),
        ("%pateint.active", [(0, "%pateint", "%patient")]),
        ("%coverage.exists()", [(0, "%coverage", "")]),
        ("%patient.name.frist().exists()", [(14, "frist()", "first")]),
        ("%patient.deceasedBoolean = true", [(9, "deceasedBoolean", "deceased.ofType(boolean)")]),
        ("%known.coverge = 'none'", [(7, "coverge", "coverage")]),
        ("%facts.admited.exists()", [(7, "admited", "admitted")]),
        ("%encounter.class", [(0, "a Coding", "")]),
        ("%patient.name and true", [(0, "a HumanName", "")]),
        ("%patient.name.where(given).exists()", [(20, "a string", "")]),
        ("today() > 'x'", [(0, "today()", "")]),
        ("now().exists()", [(0, "now()", "")]),
        ("timeOfDay().exists()", [(0, "timeOfDay()", "")]),
        ("%now.exists()", [(0, "%now", "")]),
        ("%patient.name.trace('x').exists()", [(14, "trace('x')", "")]),
        ("%patient.birthDate < @2000-01-01", [(21, "@2000-01-01", "")]),
        (
            "%encounter.period.start = %encounter.period.end",
            [(0, "a comparison of a dateTime", ""), (26, "a comparison of a dateTime", "")],
        ),
        ("elapsed(%facts.admitted, '24 furlongs')", [(25, "24 furlongs", "")]),
        ("elapsed(%facts.admitted)", [(0, "elapsed(%facts.admitted)", "")]),
        ("%patient.gender.matches('(')", [(24, "a pattern that is wrong: missing ), unterminated subpattern", "")]),
        ("%patient.name.first(1).exists()", [(14, "first() with 1 arguments", "")]),
        ("a =", [(3, "the end", "")]),
        ("class.code = 'IMP')", [(18, ")", "")]),
        ("class.code == 'IMP'", [(12, "=", "")]),
        ("class.code = 'IMP", [(13, "'", "")]),
        ("", [(0, "the end", "")]),
        ("class.code =\n  'IMP' adn true", [(21, "adn", "")]),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_nearest_name(text, found):
    assert [(offset, what.replace("trace()", "trace('x')"), near) for offset, what, near in faults(text)] == found


def test_all_faults_come_at_once():
    assert len(faults("%pateint.name.exists() and today().exists() and %now.exists()")) == 3


@pytest.mark.parametrize("text", ["%encounter.period.start", "%facts.discharged", "%patient.birthDate"])
def test_a_start_gives_a_moment(text):
    assert read(text, VARIABLES, "Encounter", MOMENT)


def test_what_gives_no_moment_is_no_start():
    assert faults("%patient.gender", MOMENT) == [(0, "a code", "")]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("%encounter.class.code = 'IMP'", {("encounter", "class")}),
        ("class.code = 'IMP'", {("encounter", "class")}),
        ("Encounter.class.code = 'IMP'", {("encounter", "class")}),
        ("%patient.deceased.exists()", {("patient", "deceasedBoolean"), ("patient", "deceasedDateTime")}),
        ("%conditions.exists()", {("conditions", "*")}),
        ("%conditions.where(code.coding.code = 'I50').exists()", {("conditions", "*"), ("conditions", "code")}),
        ("elapsed(%facts.admitted, '1 d')", {("facts", "admitted")}),
        (
            "%conditions.code.coding.all(system = 'x' and %patient.gender = 'male')",
            {("conditions", "code"), ("patient", "gender")},
        ),
        (
            "iif(%patient.active = true, class.exists(), status = 'x')",
            {("patient", "active"), ("encounter", "class"), ("encounter", "status")},
        ),
    ],
)
def test_an_expression_knows_what_it_reads(text, reads):
    node = read(text, VARIABLES, "Encounter", CONDITION)
    assert not isinstance(node, nodes.Foreign)
    assert expression.build(text, node, "encounter").reads == reads


def test_literals_are_data_with_their_escapes_decoded():
    node = read(r"class.code = 'it\'s \"q\" __import__(\'os\')'", VARIABLES, "Encounter", CONDITION)
    assert isinstance(node, nodes.Equal)
    assert node.right == nodes.Literal("it's \"q\" __import__('os')")


@pytest.mark.parametrize("data", [[], ["Nope", 1], ["Member"], ["Literal", 1, 2], "x"])
def test_what_is_no_node_is_not_taken_for_one(data):
    with pytest.raises((ValueError, KeyError, TypeError)):
        nodes.from_json(data)
