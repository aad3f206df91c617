"""Overlays by example: what each of their words does to the tables below, and what is said of a wrong one."""

import textwrap

import pytest

from fhir_bridge.mapping import CheckFailed, load_files
from tests.spec.mapping_language.test_messages import MAPS, PID, PV1, adt
from tests.unit.mapping.made_up import CONTEXT, Fhir, Hl7, patient, read

HEAD = "overlay: example\nlevel: site\n"
ROWS = """{from: PID-3, to: "identifier[]", using: "CX[Identifier]"}
{from: PID-5, to: "name[]", using: "XPN[HumanName]"}
{from: PID-7, to: birthDate}
{from: PID-8, to: gender, codes: Sex}
{from: [PID-1, PID-15], ignore: not wanted}"""
LINE = "PID|1||7^^^LGH||GREY^ANN||19510314|F|||||||OLD"


def overlaid(base, overlay, head=HEAD, **others):
    """A base with the overlay `example`: its head and one file of alterations, and other overlays by folder."""
    files = {"sites/example/overlay.yaml": head, "sites/example/rows.yaml": overlay, **others}
    return {**base, **{name: textwrap.dedent(text).encode() for name, text in files.items() if text}}


def trace_of(files, *lines, site="example"):
    return load_files(files, Fhir(), Hl7(), None, site).trace(read(*lines), CONTEXT)


def resources(files, *lines, site="example"):
    found = {}
    for one in trace_of(files, *lines, site=site).translation.assertions:
        found.setdefault(one.resource["resourceType"], {k: v for k, v in one.resource.items() if k != "id"})
    return found


def problems(files, site="example"):
    with pytest.raises(CheckFailed) as failed:
        load_files(files, Fhir(), Hl7(), None, site)
    return [str(problem) for problem in failed.value.problems]


def test_a_row_is_changed_removed_and_added_by_its_address():
    overlay = """
        alter: PID[Patient]
        change:
          - {row: {from: PID-8, to: gender}, set: {from: PID-15, when: PID-15 VALUED}}
        remove:
          - {row: PID-7, note: this site's are wrong}
        add:
          - {from: PID-1, to: multipleBirthInteger}
        """
    files = overlaid(patient(ROWS, **{"Sex.yaml": "codes: Sex\ntable: {OLD: male}\n"}), overlay)
    assert resources(files, LINE)["Patient"] == {
        "resourceType": "Patient",
        "identifier": [{"value": "7", "system": "urn:fhir-bridge:authority:LGH"}],
        "name": [{"family": "GREY", "given": ["ANN"]}],
        "gender": "male",
        "multipleBirthInteger": 1,
    }
    assert resources(files, LINE, site="")["Patient"]["birthDate"] == "1951-03-14", "the base is as it was"


def test_a_trace_names_the_overlays_rows():
    files = overlaid(patient(ROWS), "alter: PID[Patient]\nchange:\n  - {row: PID-8, set: {when: PID-7 VALUED}}\n")
    origin = next(one for one in trace_of(files, LINE).elements if one.path == "Patient.gender")
    assert (origin.row, origin.when) == ("sites/example/rows.yaml:3", "PID-7 VALUED")


def test_one_of_several_ignored_sources_is_taken_out_alone():
    files = overlaid(patient(ROWS), "alter: PID[Patient]\nremove: [{row: PID-15}]\n")
    told = {one.place: one.status for one in trace_of(files, LINE).components}
    assert (told["PID-1"], told["PID-15"]) == ("ignored", "unmapped")


def test_a_z_segment_is_declared_with_its_fields_and_mapped_like_any_other():
    head = (
        HEAD
        + "segments:\n  ZPD:\n    1: {name: Interpreter needed, type: ID}\n    2: {name: Languages, type: CWE, repeats: true}\n"
    )
    overlay = """
        map: ZPD[Patient]
        rows:
          - {from: ZPD-1, to: active, codes: YesNo}
          - {from: ZPD-2, to: "communication[own].language", using: "CWE[CodeableConcept]"}
        """
    more = {"sites/example/adt.yaml": 'alter: ADT*\nadd:\n  - {segment: ZPD, into: patient, using: "ZPD[Patient]"}\n'}
    files = overlaid(patient(ROWS), overlay, head, **more)
    made = resources(files, LINE, "ZPD|Y|spa^Spanish~fra^French")["Patient"]
    assert made["active"] is True
    assert [one["language"]["text"] for one in made["communication"]] == ["Spanish", "French"]
    wrong = overlaid(patient(ROWS), overlay.replace("ZPD-1,", "ZPD-3,"), head, **more)
    assert problems(wrong) == ["sites/example/rows.yaml:4:12: found no field ZPD-3; expected ZPD-1 to ZPD-2"]
    undeclared = overlaid(patient(ROWS), overlay, **more)
    assert any("found ZPD" in problem or "no segment ZPD" in problem for problem in problems(undeclared))


def test_declared_fields_take_the_place_of_hl7s_own():
    head = HEAD + "segments:\n  PID: {1: {type: CX, repeats: true}}\n"
    overlay = 'alter: PID[Patient]\nadd: [{from: PID-1, to: "identifier[]", using: "CX[Identifier]"}]\n'
    made = resources(overlaid(patient(ROWS), overlay, head), LINE.replace("PID|1|", "PID|8^^^A~9^^^B|"))["Patient"]
    assert [one["value"] for one in made["identifier"]] == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("overlay", "sent", "gender"),
    [
        ("extend: Sex\ntable: {X: unknown, F: male}\n", "F", "male"),
        ("extend: Sex\ntable: {X: male}\n", "F", "female"),
        ("extend: Sex\ntable: {F: null}\nunmapped: error\n", "F", None),
        ("codes: Sex\ntable: {W: female}\nunmapped: {fixed: unknown}\n", "F", "unknown"),
    ],
)
def test_code_tables_are_extended_or_replaced(overlay, sent, gender):
    files = overlaid(patient(ROWS), overlay)
    assert resources(files, LINE.replace("|F|", f"|{sent}|"))["Patient"].get("gender") == gender


def test_assigning_authorities_get_the_systems_that_the_site_gives_them():
    head = HEAD + 'authorities: {LGH: "urn:oid:2.16.840.1.113883.19.5", 1.2.3: "http://larkspur.example/card"}\n'
    files = overlaid(patient(ROWS), "", head)
    trace = trace_of(files, "PID|1||7^^^LGH~8^^^CARD&1.2.3&ISO~9")
    made = trace.translation.assertions[0]
    systems = [one["system"] for one in made.resource["identifier"]]
    assert systems == [
        "urn:oid:2.16.840.1.113883.19.5",
        "http://larkspur.example/card",
        "urn:oid:2.16.840.1.113883.19.5",
    ]
    assert made.key == "Patient|urn:oid:2.16.840.1.113883.19.5|7"


def test_an_empty_field_deletes_where_the_site_says_so():
    head = HEAD + "empty: {PID: deleted, PID-7: unchanged}\n"
    trace = trace_of(overlaid(patient(ROWS), "", head), "PID|1||7^^^LGH||GREY")
    (made,) = trace.translation.assertions
    assert set(made.deleted) == {"gender"}, "PID-8 is cut off, PID-7 empty but unchanged"
    assert "PID-8" not in {one.place for one in trace.components}, "what was not sent is not reported"
    assert trace_of(overlaid(patient(ROWS), ""), "PID|1||7^^^LGH||GREY").translation.assertions[0].deleted == ()


def test_triggers_say_anew_what_they_carry_completely():
    overlay = """
        alter: ADT
        triggers:
          ADT^A01: {complete: []}
          ADT^A08: {fact: admitted}
          ADT^A99: {complete: [RelatedPerson]}
        """
    loaded = load_files(overlaid(adt(), overlay), Fhir(), Hl7(), None, "example")
    told = {}
    for event in ("A01", "A08", "A99"):
        found = loaded.translate(read(rf"MSH|^~\&|A|LGH|F|L|20260401||ADT^{event}|1|P|2.8", PID, PV1), CONTEXT)
        told[event] = ([fact.name for fact in found.facts], set(found.complete))
    assert told == {"A01": (["admitted"], set()), "A08": (["admitted"], set()), "A99": ([], {"RelatedPerson"})}


def test_the_rows_inside_a_message_row_are_altered_too():
    overlay = """
        alter: ADT
        change:
          - {row: {segment: PV1, make: Encounter}, rows: {add: [{from: PV1-19.1, to: length.unit}]}}
          - {row: {segment: NK1}, set: {when: NK1-3 VALUED}}
        """
    made = resources(overlaid(adt(), overlay), PID, PV1, "NK1|1|GREY^TOM")
    assert made["Encounter"]["length"] == {"unit": "55"}
    assert "RelatedPerson" not in made


def test_rows_of_a_part_are_altered_in_the_part_and_added_beside_it():
    part = 'part: PERSON\nrows:\n  - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}, required: true}\n'
    message = "message: ADT\ntriggers: {ADT^A01: {}}\nrows:\n  - {include: PERSON}\n"
    base = {**patient(ROWS), "ADT.yaml": message.encode(), "PERSON.yaml": part.encode()}
    pv1 = {"PV1.yaml": b"map: PV1[Patient]\nrows:\n  - {from: PV1-50, to: multipleBirthInteger}\n"}
    overlay = 'alter: ADT\nadd: [{segment: PV1, into: patient, using: "PV1[Patient]"}]\n'
    made = resources(overlaid(base | pv1, overlay), LINE, "PV1" + "|" * 50 + "2")["Patient"]
    assert made["multipleBirthInteger"] == 2
    (found,) = problems(overlaid(base, "alter: ADT\nchange: [{row: {segment: PID}, set: {required: false}}]\n"))
    assert (
        "found no row PID; expected the address of a row of the table: it stands in the part PERSON, alter that"
        in found
    )
    altered = overlaid(base, "alter: PERSON\nchange: [{row: {segment: PID}, set: {when: PID-7 VALUED}}]\n")
    assert resources(altered, LINE)["Patient"]["gender"] == "female"


def test_overlays_stand_on_each_other_and_the_upper_one_is_heard_last():
    chain = {
        "sites/acme/overlay.yaml": 'overlay: acme\nlevel: vendor\nauthorities: {LGH: "urn:a", X: "urn:x"}\n',
        "sites/acme/rows.yaml": "alter: PID[Patient]\nchange: [{row: PID-8, set: {from: PID-15}}]\n",
        "sites/acme/codes.yaml": "extend: Sex\ntable: {OLD: female, NEW: female}\n",
    }
    head = 'overlay: example\nlevel: site\nover: acme\nauthorities: {LGH: "urn:b"}\n'
    files = overlaid(patient(ROWS), "extend: Sex\ntable: {OLD: male}\n", head, **chain)
    trace = trace_of(files, LINE.replace("^^^LGH", "^^^LGH~8^^^X"))
    made = trace.translation.assertions[0].resource
    assert (made["gender"], [one["system"] for one in made["identifier"]]) == ("male", ["urn:b", "urn:x"])
    assert resources(files, LINE, site="acme")["Patient"]["gender"] == "female"


WRONG = [
    ("alter: PID[Patient]\nremove: [{row: PID-88}]\n", "rows.yaml:2:16: found no row PID-88; expected the address of a row of the table; did you mean PID-8?"),
    ("alter: PID[Patient]\nchange: [{row: {from: PID-8, to: gendr}, set: {when: PID-7 VALUED}}]\n", "did you mean PID-8 gender?"),
    ("alter: PID[Patient]\nchange: [{row: PID-8}]\n", "found a change of nothing"),
    ("alter: PID[Patent]\nadd: []\n", "found no table PID[Patent]; expected the name of a map or message; did you mean PID[Patient]?"),
    ("alter: ADT\nadd: [{segment: PID, into: patint, using: 'PID[Patient]'}]\n", "found no resource patint; expected the name (as) of a resource of the message; did you mean patient?"),
    ("alter: PID[Patient]\nchange: [{row: PID-8, set: {codes: Sexx}}]\n", "rows.yaml:2:36: found codes: Sexx"),
    ("alter: PID[Patient]\nchange: [{row: PID-8, set: {codes: null}}]\n", "rows.yaml:2:10: found"),
    ("alter: PID[Patient]\nadd: [{from: PID-15, to: gender, codes: Sex}]\n", "rows.yaml:2:"),
    ("alter: PID[Patient]\nadds: []\n", "found the key adds; expected a key of an alteration"),
    ("extend: Sax\ntable: {}\n", "found no code table Sax; expected the name of a code table; did you mean Sex?"),
    ("extend: Sex\ntable: {FF: null}\n", "found no code FF to take out; expected a code of the table; did you mean F?"),
    ("change: PID[Patient]\n", "found the keys change; expected alter:"),
]  # fmt: skip


@pytest.mark.parametrize(("overlay", "said"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_overlay_is_told_at_its_place(overlay, said):
    found = problems(overlaid(patient(ROWS), overlay))
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("sites/example/") for problem in found), found


def test_an_address_of_two_rows_is_no_address():
    rows = ROWS + "\n{from: PID-7, to: multipleBirthInteger}"
    (found,) = problems(overlaid(patient(rows), "alter: PID[Patient]\nremove: [{row: PID-7}]\n"))
    assert "found PID-7, which names 2 rows; expected an address of one row" in found


HEADS = [
    ("overlay: other\nlevel: site\n", "overlay.yaml:1:10: found overlay: other; expected the name of its folder, example"),
    ("overlay: example\nlevel: town\n", "found town; expected a level: vendor, site, feed"),
    ("overlay: example\n", "without level"),
    ("overlay: example\nlevel: site\nzone: Mars/Olympus\n", "overlay.yaml:3:7: found the zone Mars/Olympus; expected an IANA time zone"),
    ("overlay: example\nlevel: site\ncharset: utf-99\n", "found the character set utf-99"),
    ("overlay: example\nlevel: site\nclock: minutes\n", "did you mean minute?"),
    ("overlay: example\nlevel: site\nempty: {PID-13.1: deleted}\n", "found PID-13.1; expected a segment or a field"),
    ("overlay: example\nlevel: site\nempty: {PID-13: gone}\n", "found gone; expected what an empty field means: deleted, unchanged"),
    ("overlay: example\nlevel: site\nauthorities: {LGH: no-uri}\n", "found the system no-uri; expected a URI"),
    ("overlay: example\nlevel: site\nsegments: {ZPD: {1: {type: XYZ}}}\n", "found no data type XYZ"),
    ("overlay: example\nlevel: site\nsegments: {ZPD: {A: {type: ST}}}\n", "found A; expected the number of a field"),
    ("overlay: example\nlevel: site\nover: exampel\n", "found no overlay exampel; expected the name of a folder under sites/"),
    ("overlay: example\nlevel: site\nover: example\n", "overlay.yaml:3:7: found over: example, which stands on it"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "said"), HEADS, ids=range(len(HEADS)))
def test_a_wrong_head_is_told_at_its_place(head, said):
    found = problems(overlaid(patient(ROWS), "", head))
    assert any(said in problem for problem in found), found


def test_overlays_in_a_circle_or_upside_down_are_errors():
    others = {"sites/acme/overlay.yaml": "overlay: acme\nlevel: site\nover: example\n"}
    head = "overlay: example\nlevel: site\nover: acme\n"
    (found,) = problems(overlaid(patient(ROWS), "", head, **others))
    assert found.startswith("sites/acme/overlay.yaml:3:7: found over: example, which stands on it")
    (found,) = problems(overlaid(patient(ROWS), "", head.replace("level: site", "level: vendor"), **others))
    assert "found over: acme, a site's; expected an overlay of its own level or below" in found
    assert "found no overlay nowhere" in problems(patient(ROWS), site="nowhere")[0]


def test_an_overlay_leaves_other_sets_and_the_cache_alone(tmp_path):
    files = overlaid(adt(**MAPS), "extend: Marital\ntable: {D: {code: D}}\n")
    hashes = {site: load_files(files, Fhir(), Hl7(), tmp_path, site).hash for site in ("", "example")}
    assert hashes[""] == load_files(adt(**MAPS), Fhir(), Hl7()).hash != hashes["example"]
    again = load_files(files, Fhir(), Hl7(), tmp_path, "example")
    assert again.hash == hashes["example"]
