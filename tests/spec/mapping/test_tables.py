"""What the tables make of fields as senders really fill them, one line of HL7 at a time."""

from typing import Any

import pytest

from adapters.hl7v2 import er7
from fhir_bridge.mapping import Untranslatable

PID = "PID|1||70044182^^^LGH^MR||REYES^MARISOL"
PV1 = "PV1|1|I|6W^612^A^LGH||||||||||||||||2048113^^^LGHVN^VN"
SCH = "SCH|P1^ORTHO|F1^SCHED"


def message(trigger: str, *segments: str, processing: str = "P") -> bytes:
    code = "SIU" if trigger.startswith("S") else "ADT"
    head = rf"MSH|^~\&|APP|LGH|FHIRBRIDGE|LGH|20260401120000||{code}^{trigger}|1|{processing}|2.5.1"
    return "\r".join([head, *segments, ""]).encode()


def field(segment: str, number: int, value: str) -> str:
    """A segment with one field set."""
    fields = segment.split("|")
    fields += [""] * (number + 1 - len(fields))
    fields[number] = value
    return "|".join(fields)


def at(value: Any, path: str) -> Any:
    """An element by path, None where it is not: ``telecom.0.value``."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        elif isinstance(value, dict):
            value = value.get(step)
        if value is None:
            return None
    return value


def one(translation, kind: str) -> dict[str, Any]:
    (resource,) = [a.resource for a in translation.assertions if a.resource["resourceType"] == kind]
    return resource


def kinds(translation) -> list[str]:
    return [assertion.resource["resourceType"] for assertion in translation.assertions]


@pytest.mark.parametrize(
    ("number", "sent", "path", "found"),
    [
        (3, "12345", "identifier.0", {"value": "12345", "system": "urn:fhir-bridge:authority:LGH"}),
        (3, "1^^^A^MR~2^^^&1.2.3&ISO^PI", "identifier.1.system", "urn:oid:1.2.3"),
        (3, "1^^^A^MR~^^^B^MR", "identifier.1.value", None),
        (5, "DE LA CRUZ&DE LA&CRUZ^ANA", "name.0.family", "DE LA CRUZ"),
        (5, "DE LA CRUZ&DE LA&CRUZ^ANA", "name.0._family.extension.0.valueString", "DE LA"),
        (5, "REYES^MARISOL^^^^^L^^^^^^^^MARI", "name.1", {"given": ["MARI"], "use": "nickname"}),
        (5, "REYES^MARISOL^^^^^U", "name.0.use", None),
        (7, "1951", "birthDate", "1951"),
        (7, "195103", "birthDate", "1951-03"),
        (7, "19510314", "_birthDate", None),
        (7, "195103140630-0500", "_birthDate.extension.0.valueDateTime", "1951-03-14T06:30:00-05:00"),
        (7, "not a date", "birthDate", None),
        (8, "F", "gender", "female"),
        (8, "Z", "gender", "unknown"),
        (8, "F^Female^HL70001", "gender", "female"),
        (10, "2106-3~2054-5", "extension.0.extension.1.valueCoding.code", "2054-5"),
        (11, "&MAIN ST&12^^TOWN", "address.0.line", ["12 MAIN ST"]),
        (11, "12 MAIN ST^^TOWN^NY^^^P", "address.0.use", "home"),
        (11, "12 MAIN ST^^TOWN^NY^^^BA", "address.0.use", "old"),
        (13, "(607)555-0134", "telecom.0", {"value": "(607)555-0134", "system": "phone", "use": "home"}),
        (13, "^PRN^PH^^1^607^5550134", "telecom.0.value", "+1 607 5550134"),
        (13, "^PRN^PH^^^607^5550134^12", "telecom.0.value", "607 5550134 ext. 12"),
        (13, "^PRN^PH^^^^5550134", "telecom.0.value", "5550134"),
        (13, "^PRN^PH^^^^^^^^^6075550134", "telecom.0.value", "6075550134"),
        (13, "^PRN^CP^^^607^5550134", "telecom.0.use", "mobile"),
        (13, "^WPN^CP^^^607^5550134", "telecom.0.use", "work"),
        (13, "^NET^Internet^a@b.example", "telecom.0", {"value": "a@b.example", "system": "email"}),
        (13, "a@b.example^NET^Internet", "telecom.0", {"value": "a@b.example", "system": "email"}),
        (13, "^NET^^a@b.example", "telecom.0", {"value": "a@b.example", "system": "email"}),
        (13, "^PRN^FX^^^607^5550134", "telecom.0.system", "fax"),
        (13, "^PRN^PH~^PRN^PH^^^607^5550134", "telecom.1", None),
        (15, "es", "communication.0.language.coding.0.code", "es"),
        (15, "SPANISH", "communication.0.language.coding.0.code", "es"),
        (15, "spa^Spanish^ISO639-2", "communication.0.language.coding.1.code", "spa"),
        (15, "xx^Some tongue^LOCAL", "communication.0.language.coding.0.system", "urn:fhir-bridge:code-system:LOCAL"),
        (16, "M", "maritalStatus.coding.1", {"system": "http://terminology.hl7.org/CodeSystem/v2-0002", "code": "M"}),
        (16, "U", "maritalStatus.coding.0.system", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"),
        (19, "900550142", "identifier.1.system", "http://hl7.org/fhir/sid/us-ssn"),
        (24, "Y", "multipleBirthBoolean", True),
        (25, "2", "multipleBirthInteger", 2),
        (29, "20260301", "deceasedDateTime", "2026-03-01"),
        (30, "Y", "deceasedBoolean", True),
        (30, "N", "deceasedBoolean", False),
        (30, "maybe", "deceasedBoolean", None),
    ],
)
def test_pid(number, sent, path, found, translate):
    patient = one(translate(message("A31", field(PID, number, sent))), "Patient")

    assert at(patient, path) == found


@pytest.mark.parametrize(("processing", "test"), [("P", False), ("", False), ("T", True), ("D", True)])
def test_traffic_that_is_not_production_marks_a_test_patient(processing, test, translate):
    patient = one(translate(message("A31", PID, processing=processing)), "Patient")

    marks = [label["code"] for label in patient.get("meta", {}).get("security", [])]
    assert marks == (["HTEST"] if test else [])


@pytest.mark.parametrize(
    ("number", "sent", "path", "found"),
    [
        (2, "O", "class.code", "AMB"),
        (2, "B", "class.system", "http://terminology.hl7.org/CodeSystem/v2-0004"),
        (2, "OBS", "class", {"system": "http://terminology.hl7.org/CodeSystem/v2-0004", "code": "OBS"}),
        (2, "P", "status", "planned"),
        (3, "ED^^^LGH", "location.0.location.display", "ED"),
        (3, "", "location", None),
        (7, "H1^ADEYEMI^TUNDE^^^DR^MD^^LGHSTAFF", "participant.0.type.0.coding.0.code", "ATND"),
        (7, "^ADEYEMI^TUNDE", "participant.0.individual", {"display": "TUNDE ADEYEMI"}),
        (15, "A2", "hospitalization.specialArrangement.0.coding.0.code", "wheel"),
        (15, "A2", "hospitalization.specialArrangement.0.coding.1.code", "A2"),
        (15, "A6", "hospitalization.specialArrangement.0.coding.0.code", "A6"),
        (16, "Y", "hospitalization.specialCourtesy.0.coding.0.code", "VIP"),
        (36, "07", "hospitalization.dischargeDisposition.coding.0.code", "aadvice"),
        (
            36,
            "07",
            "hospitalization.dischargeDisposition.coding.1",
            {"system": "http://terminology.hl7.org/CodeSystem/v2-0112", "code": "07"},
        ),
        (36, "20^Expired^LGHDD", "hospitalization.dischargeDisposition.coding.1.code", "20"),
        (37, "SNF1&Rosewood", "hospitalization.destination.display", "Rosewood"),
        (45, "20260402", "status", "finished"),
    ],
)
def test_pv1(number, sent, path, found, translate):
    encounter = one(translate(message("A08", PID, field(PV1, number, sent))), "Encounter")

    assert at(encounter, path) == found


@pytest.mark.parametrize(
    ("place", "name", "kind"),
    [
        ("6W^612^A^LGH", "6W-612-A", "bd"),
        ("6W^612^^LGH", "6W-612", "ro"),
        ("6W^^A^LGH", "6W-A", "bd"),
        ("ED", "ED", "wa"),
        ("^612^A^LGH", "612-A", "bd"),
        ("^^^LGH", "LGH", None),
        ("^^^^^^MAIN", "MAIN", None),
    ],
)
def test_a_place_is_named_by_its_parts(place, name, kind, translate):
    location = one(translate(message("A08", PID, field(PV1, 3, place))), "Location")

    assert location["name"] == name
    assert at(location, "physicalType.coding.0.code") == kind


def test_the_same_bed_of_two_buildings_is_two_places(translate):
    made = [
        one(translate(message("A08", PID, field(PV1, 3, place))), "Location")["id"]
        for place in ("6W^612^A^LGH^^^MAIN", "6W^612^A^LGH^^^WEST")
    ]

    assert made[0] != made[1]


@pytest.mark.parametrize(
    "visit",
    [
        "PV1|1|I|||||||||||||||||2048113^^^LGHVN^VN",
        field("PV1|1|I", 50, "2048113^^^LGHVN^VN"),
    ],
)
def test_a_visit_is_known_by_its_number_wherever_it_stands(visit, translate):
    known = one(translate(message("A01", PID, PV1)), "Encounter")["id"]

    assert one(translate(message("A08", PID, visit)), "Encounter")["id"] == known


def test_a_visit_without_a_number_is_known_by_patient_and_admission(translate):
    first, again, other = (
        one(translate(message(trigger, PID, field("PV1|1|I", 44, time))), "Encounter")["id"]
        for trigger, time in (("A01", "202604011200"), ("A03", "202604011200"), ("A01", "202604021200"))
    )

    assert first == again != other


def test_an_update_without_a_visit_is_about_the_patient_alone(translate):
    assert kinds(translate(message("A08", PID))) == ["Patient"]


@pytest.mark.parametrize("segments", [(PID,), (PID, "PV1|1|I")])
def test_an_admission_of_no_visit_cannot_be_translated(segments, translate):
    with pytest.raises(Untranslatable) as caught:
        translate(message("A01", *segments))

    assert caught.value.code == "no-subject"
    assert caught.value.location == "PV1"


@pytest.mark.parametrize("segments", [(PV1,), ("PID|1||||REYES^MARISOL", PV1)])
def test_a_message_about_nobody_cannot_be_translated(segments, translate):
    with pytest.raises(Untranslatable):
        translate(message("A01", *segments))


def test_a_newborn_is_tied_to_its_mother(translate):
    baby = field(field(PID, 6, "ZAMBRANO^LUCIA"), 21, "70000001^^^LGH^MR")
    mother = one(translate(message("A01", baby, PV1)), "RelatedPerson")

    assert mother["relationship"][0]["coding"][0]["code"] == "MTH"
    assert mother["identifier"][0]["value"] == "70000001"
    assert mother["name"] == [{"family": "ZAMBRANO", "given": ["LUCIA"], "use": "maiden"}]


@pytest.mark.parametrize(
    ("segment", "path", "found"),
    [
        ("DG1|1|I10|I50.9^Heart failure^I10C", "code.coding.0.system", "http://hl7.org/fhir/sid/icd-10-cm"),
        ("DG1|1|I10C|I50.9^Heart failure", "code.coding.0.system", "http://hl7.org/fhir/sid/icd-10-cm"),
        ("DG1|1||X1^Local^My Codes", "code.coding.0.system", "urn:fhir-bridge:code-system:My%20Codes"),
        ("DG1|1||5^Race^HL70005", "code.coding.0.system", "http://terminology.hl7.org/CodeSystem/v2-0005"),
        ("DG1|1|||Heart failure", "code", {"text": "Heart failure"}),
        ("DG1|1||I50.9^Heart failure^I10C|||F", "verificationStatus.coding.0.code", "confirmed"),
        ("DG1|1||I50.9^Heart failure^I10C|||W", "verificationStatus.coding.0.code", "provisional"),
        ("DG1|1||I50.9^Heart failure^I10C", "verificationStatus", None),
        (field("DG1|1||I50.9^^I10C|||F", 21, "D"), "verificationStatus.coding.0.code", "entered-in-error"),
    ],
)
def test_dg1(segment, path, found, translate):
    assert at(one(translate(message("A01", PID, PV1, segment)), "Condition"), path) == found


@pytest.mark.parametrize(
    ("segment", "path", "found"),
    [
        ("IN1|1|MCRA^Medicare Part A", "payor.0.display", "Medicare Part A"),
        ("IN1|1|MCRA", "payor.0.display", "MCRA"),
        ("IN1|1|MCRA^Medicare|00308^^^NAIC", "payor.0.display", "Medicare"),
        ("IN1|1|MCRA||MEDICARE", "payor.0.display", "MEDICARE"),
        (field("IN1|1|MCRA", 36, "M1"), "subscriberId", "M1"),
        (field(field("IN1|1|MCRA", 36, "M1"), 49, "M2^^^CMS^MC"), "subscriberId", "M2"),
        (field("IN1|1|MCRA", 17, "18^Self^X12"), "relationship.coding.0.code", "other"),
        (field("IN1|1|MCRA", 13, "20261231"), "period.end", "2026-12-31"),
    ],
)
def test_in1(segment, path, found, translate):
    assert at(one(translate(message("A01", PID, PV1, segment)), "Coverage"), path) == found


@pytest.mark.parametrize(
    ("segment", "path", "found"),
    [
        ("AL1|1|DA|7980^Penicillin G^RXNORM|SV", "criticality", "high"),
        ("AL1|1|DA|7980^Penicillin G^RXNORM|MO", "criticality", None),
        ("AL1|1|DA|7980^Penicillin G^RXNORM|MO|Rash", "reaction.0.severity", "moderate"),
        ("AL1|1|MC|^Dye", "type", None),
        ("AL1|1|MA|^Latex", "category", None),
        ("AL1|1||^Latex", "code.text", "Latex"),
    ],
)
def test_al1(segment, path, found, translate):
    assert at(one(translate(message("A01", PID, PV1, segment)), "AllergyIntolerance"), path) == found


@pytest.mark.parametrize(
    ("segments", "start", "end"),
    [
        (["AIS|1|A|MRI|20260420140000|||45|min"], "2026-04-20T14:00:00-04:00", "2026-04-20T14:45:00-04:00"),
        (["AIS|1|A|MRI|20260420140000|||2|h"], "2026-04-20T14:00:00-04:00", "2026-04-20T16:00:00-04:00"),
        (["TQ1|||||||202604201400|202604201430"], "2026-04-20T14:00:00-04:00", "2026-04-20T14:30:00-04:00"),
        (["AIL|1|A|RAD||| 202604201400|||30|min"], "2026-04-20T14:00:00-04:00", "2026-04-20T14:30:00-04:00"),
        (["AIP|1|A|1^ROE||| 202604201400+0000|||30|min"], "2026-04-20T14:00:00+00:00", "2026-04-20T14:30:00+00:00"),
        ([], None, None),
    ],
)
def test_a_booking_takes_its_time_from_where_it_was_sent(segments, start, end, translate):
    booking = one(translate(message("S12", SCH, PID, "RGS|1", *segments)), "Appointment")

    assert (booking.get("start"), booking.get("end")) == (start, end)


@pytest.mark.parametrize(
    ("fields", "start", "end"),
    [
        ({11: "^^M30^202604201400^202604201430"}, "2026-04-20T14:00:00-04:00", "2026-04-20T14:30:00-04:00"),
        ({9: "20", 10: "min", 11: "^^^202604201400"}, "2026-04-20T14:00:00-04:00", "2026-04-20T14:20:00-04:00"),
    ],
)
def test_a_booking_without_resources_has_its_time_in_sch(fields, start, end, translate):
    segment = SCH
    for number, value in fields.items():
        segment = field(segment, number, value)
    booking = one(translate(message("S12", segment, PID)), "Appointment")

    assert (booking["start"], booking["end"]) == (start, end)


def test_a_resource_that_a_change_takes_away_is_no_longer_booked(translate):
    segments = ["RGS|1|U", "AIL|1|D|RAD^1^^LGH", "AIL|2|A|RAD^2^^LGH"]
    booking = one(translate(message("S14", SCH, PID, *segments)), "Appointment")

    assert [member["actor"].get("display") for member in booking["participant"]] == [None, "RAD 2"]


@pytest.mark.parametrize(
    ("identifiers", "known_by"),
    [("P1^ORTHO|F1^SCHED", "urn:fhir-bridge:authority:SCHED|F1"), ("P1^ORTHO|", "urn:fhir-bridge:authority:ORTHO|P1")],
)
def test_a_booking_is_known_by_its_filler_else_its_placer(identifiers, known_by, translate):
    translation = translate(message("S12", f"SCH|{identifiers}", PID))
    (key,) = [a.key for a in translation.assertions if a.resource["resourceType"] == "Appointment"]

    assert key == f"Appointment|{known_by}"


@pytest.mark.parametrize(
    ("trigger", "stated", "status"),
    [
        ("S12", "", "booked"),
        ("S12", "Pending", "pending"),
        ("S14", "COMPLETE", "fulfilled"),
        ("S14", "Strange", "booked"),
        ("S15", "Booked", "cancelled"),
        ("S26", "", "noshow"),
    ],
)
def test_the_trigger_says_more_than_the_status_that_is_stated(trigger, stated, status, translate):
    booking = one(translate(message(trigger, field(SCH, 25, stated), PID)), "Appointment")

    assert booking["status"] == status


def test_each_valued_component_is_accounted_for(mapping_set, context):
    """I6: mapped, ignored on purpose, or told as unmapped; nothing else."""
    trace = mapping_set.trace(er7.parse(message("A08", field(PID, 27, "V^Veteran"), PV1)), context)
    told = {component.place: component.status for component in trace.components}

    assert told["PID-3.1"] == told["PV1-19.1"] == "mapped"
    assert told["PID-1"] == "ignored"
    assert told["PID-27.1"] == told["PID-27.2"] == "unmapped"
