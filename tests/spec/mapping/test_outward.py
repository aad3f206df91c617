"""FHIR → HL7 v2: what a document and a communication become, that it conforms, and that the way there and back is one."""

import base64
import textwrap
import uuid
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2 import conformance, er7
from adapters.hl7v2.definitions import definitions
from fhir_bridge import mapping
from fhir_bridge.mapping import outward
from fhir_bridge.mapping.outward_run import CannotSend
from fhir_bridge.source import CheckFailed
from fhir_bridge.wiring.outward import envelope, load_sender, send_all
from fhir_bridge.wiring.sets import load_mapping

AT = "20260311091500-0400"
SENDER = load_sender()
CONTEXT = mapping.TranslateContext(uuid.UUID(int=7), ZoneInfo("America/New_York"), "LGH")


def patient(**more):
    identifier = {"system": "urn:oid:1.2.3", "value": "70044182", "type": {"coding": [{"code": "MR"}]}}
    name = {"family": "OKAFOR-REYES", "given": ["MARISOL"], "use": "official"}
    return {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [identifier],
        "name": [name],
        "birthDate": "1951-03-14",
        "gender": "female",
        **more,
    }


def document(text="All is well.", **more):
    content = {"attachment": {"contentType": "text/plain", "data": encoded(text), "title": "Summary"}}
    return {
        "resourceType": "DocumentReference", "id": "d", "status": "current", "docStatus": "final",
        "masterIdentifier": {"system": "urn:oid:1.9", "value": "DOC-1"},
        "type": {"coding": [{"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"}]},
        "subject": {"reference": "Patient/p"}, "context": {"encounter": [{"reference": "Encounter/e"}]},
        "date": "2026-03-11T09:15:00-04:00", "content": [content], **more,
    }  # fmt: skip


def encoded(text):
    return base64.b64encode(text.encode()).decode()


ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e",
    "status": "finished",
    "class": {"code": "IMP"},
    "identifier": [{"system": "urn:oid:1.4", "value": "V1"}],
}
EARLIER = document(id="d0", masterIdentifier={"system": "urn:oid:1.9", "value": "DOC-0"})


def made(resource, *others):
    known = {f"{one['resourceType']}/{one['id']}": one for one in (patient(), ENCOUNTER, EARLIER, *others)}
    return SENDER.send(resource, known.get, envelope("C1", AT))


def lines(sent):
    return {line[:3]: line for line in sent.raw.decode().rstrip("\r").split("\r")}


def test_a_document_is_an_mdm():
    sent = made(document("One ~ line\nTwo | lines ^&\\"))
    assert sent.trigger == "MDM^T02"
    found = lines(sent)
    assert found["PID"] == "PID|1||70044182^^^&1.2.3&ISO^MR||OKAFOR-REYES^MARISOL^^^^^L||19510314|F"
    assert found["PV1"] == "PV1|1|I" + "|" * 17 + "V1^^^&1.4&ISO"
    assert (
        found["TXA"] == "TXA|1|18842-5^Discharge summary^LN|TEXT|||20260311091500-0400||||||DOC-1^^1.9^ISO|||||DO||AV"
    )
    assert found["OBX"] == r"OBX|1|TX|document^Summary^L|1|One \R\ line~Two \F\ lines \S\\T\\E\||||||F"


def test_what_replaces_another_is_a_t10_and_names_it():
    relation = [{"code": "replaces", "target": {"reference": "DocumentReference/d0"}}]
    sent = made(document(relatesTo=relation))
    assert sent.trigger == "MDM^T10"
    assert lines(sent)["TXA"].split("|")[13] == "DOC-0^^1.9^ISO"


def test_what_was_entered_in_error_is_a_t11_without_its_content():
    sent = made(document(status="entered-in-error"))
    assert (sent.trigger, "OBX" in lines(sent), lines(sent)["TXA"].split("|")[19]) == ("MDM^T11", False, "CA")
    assert "MDM^T11^MDM_T01" in lines(sent)["MSH"]


def test_a_communication_is_an_mdm_of_its_text():
    said = {
        "resourceType": "Communication", "id": "c", "status": "completed", "subject": {"reference": "Patient/p"},
        "identifier": [{"system": "urn:fhir-bridge:delivery", "value": "X-1"}], "topic": {"text": "Asthma"},
        "sent": "2026-03-11T13:15:00Z", "payload": [{"contentString": "Talked about\ninhalers"}],
    }  # fmt: skip
    found = lines(made(said))
    assert found["OBX"].split("|")[5] == "Talked about~inhalers"
    assert found["TXA"].split("|")[12] == "X-1^^urn:fhir-bridge:delivery^URI"
    assert found["TXA"].split("|")[6] == "20260311131500+0000"


@pytest.mark.parametrize(
    "resource",
    [
        document(),
        document(content=[{"attachment": {"contentType": "application/pdf", "data": "aGVsbG8=", "title": "A"}}]),
        document(relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/d0"}}]),
        document(status="entered-in-error"),
    ],
    ids=["text", "pdf", "replaces", "cancelled"],
)
def test_what_goes_out_conforms(resource):
    report = conformance.report(made(resource).raw)
    assert [str(one) for one in report.findings if one.severity != conformance.Severity.NOTE] == []
    assert report.conforms


PLAIN = st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cn", "Co", "Cf"))
WORD = st.text(PLAIN, min_size=1, max_size=12)
TEXT = st.lists(WORD, min_size=1, max_size=4).map("\n".join)


@pytest.fixture(scope="module")
def inward(tmp_path_factory):
    return load_mapping(None, tmp_path_factory.mktemp("cache"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=WORD, number=WORD, text=TEXT, title=WORD, day=st.dates().map(str))
def test_there_and_back_is_the_same_document_and_the_same_message(inward, family, number, text, title, day):
    content = [{"attachment": {"contentType": "text/plain", "data": encoded(text), "title": title}}]
    master = {"system": "urn:oid:1.9", "value": number}
    person = patient(name=[{"family": family, "given": ["A"], "use": "official"}], birthDate=day)
    kind = {**document()["type"], "text": "Discharge summary"}
    sent = made(document(content=content, masterIdentifier=master, type=kind), person)
    message = er7.parse(sent.raw)
    found = {}
    for one in inward.translate(message, CONTEXT).assertions:
        found.setdefault(one.resource["resourceType"], one.resource)
    back = found["DocumentReference"]
    assert back["masterIdentifier"] == master
    assert (back["status"], back["docStatus"], back["date"]) == ("current", "final", "2026-03-11T09:15:00-04:00")
    assert back["content"][0]["attachment"] == content[0]["attachment"]
    assert (found["Patient"]["name"][0]["family"], found["Patient"]["birthDate"]) == (family, day)
    known = {f"{kind}/{one['id']}": one for kind, one in found.items()}
    again = SENDER.send(back, known.get, envelope("C1", AT))
    assert again.raw == sent.raw


def test_a_character_set_that_cannot_hold_it_is_refused_not_filled_with_question_marks():
    person = patient(name=[{"family": "Žižek"}])
    with pytest.raises(CannotSend) as refused:
        SENDER.send(document(), {"Patient/p": person}.get, envelope("C1", AT, "8859/1"))
    assert (refused.value.code, refused.value.location) == ("charset", "MSH-18")
    assert SENDER.send(document(), {}.get, envelope("C1", AT, "8859/1")).raw.isascii()


def test_a_bundle_gives_a_message_for_each_document():
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in (patient(), document(), EARLIER)]}
    assert [sent.trigger for sent in send_all(SENDER, bundle, AT)] == ["MDM^T02", "MDM^T02"]


WRONG = [
    ("map: Patient[PID]\nrows: [{from: gendr, to: PID-8}]", "found no element gendr in gendr; expected an element of Patient; did you mean gender?"),
    ("map: Patient[PID]\nrows: [{from: gender, to: PID-88}]", "found no field PID-88"),
    ("map: Patient[PID]\nrows: [{from: gender, to: PV1-2}]", "found PV1-2; expected an address in PID"),
    ("map: Patient[PID]\nrows: [{from: gender, to: PID-8, codes: Sax}]", "found Sax, which is no table"),
    ("map: Patient[PID]\nrows: [{from: name, to: PID-5, using: 'HumanName[XPM]'}]", "which is no table"),
    ("map: Patient[PIX]\nrows: []", "found PIX in Patient[PIX]"),
    ("map: Patient[PID]\nrows: [{from: gender, value: F, to: PID-8}]", "found both or none of from and value"),
    ("map: Patient[PID]\nrows: [{from: gender, to: PID-8, when: gender IS F}]", "found gender IS F; expected PATH VALUED"),
    ("send: MDM\nof: Documnt\ntriggers: {MDM^T02: {}}\nsegments: []", "found no type Documnt"),
    ("send: MDM\nof: Patient\ntriggers: {MDM^T02: {}}\nsegments: [{segment: PID, using: 'A[B]', not_for: MDM^T3}]", "found the trigger MDM^T3"),
    ("what: ever", "found another document; expected send:, map: or codes: as the first key"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_table_is_told_at_its_place(text, said):
    with pytest.raises(CheckFailed) as failed:
        outward.load({"fhir_to_hl7v2/a.yaml": textwrap.dedent(text).encode()}, load_definitions(), definitions())
    assert any(said in str(problem) for problem in failed.value.problems), [str(one) for one in failed.value.problems]
    assert all(str(problem).startswith("fhir_to_hl7v2/a.yaml:") for problem in failed.value.problems)
