"""The education catalogue: the closest diagnosis, in the patient's language or in English."""

from datetime import date
from pathlib import Path

import pytest

from fhir_bridge.source import CheckFailed
from fhir_bridge.tasks.education import Catalogue, Material, load_catalogue

SHIPPED = Path(__file__).parents[3] / "mappings" / "education"


def material(code, prefixes, language="en", version=1):
    return Material(code, code, tuple(prefixes), language, 5, version, date(2026, 1, 1), "text")


CATALOGUE = Catalogue(
    (
        material("diabetes", ["E11"]),
        material("diabetes", ["E11"], "es"),
        material("diabetes", ["E11"], "es", version=2),
        material("neuropathy", ["E114"]),
        material("copd", ["J44"]),
        material("fr-only", ["I21"], "fr"),
    )
)


@pytest.mark.parametrize(
    ("codes", "language", "found"),
    [
        (["E11.9"], "en", ("diabetes", "en", 1)),
        (["E119"], "es", ("diabetes", "es", 2)),
        (["E11.9"], "es-MX", ("diabetes", "es", 2)),
        (["E11.9"], "vi", ("diabetes", "en", 1)),
        (["E11.42"], "en", ("neuropathy", "en", 1)),
        (["E11.42"], "es", ("neuropathy", "en", 1)),
        (["N18.3", "J44.1"], "en", ("copd", "en", 1)),
        (["e11.9"], "EN", ("diabetes", "en", 1)),
        (["I21.0"], "en", None),
        (["Z00"], "en", None),
        ([], "en", None),
    ],
)
def test_the_longest_prefix_counts_then_the_language_then_the_version(codes, language, found):
    best = CATALOGUE.find(codes, language)
    assert (best and (best.code, best.language, best.version)) == found


@pytest.mark.parametrize(
    "code", ["I50.9", "J44.1", "E08.9", "E09.9", "E10.9", "E11.9", "E13.9", "I21.3", "J12.9", "J18.9"]
)
@pytest.mark.parametrize("language", ["en", "es"])
def test_the_shipped_catalogue_covers_what_the_education_rule_opens_for(code, language):
    found = load_catalogue(SHIPPED).find([code], language)
    assert found is not None
    assert found.language == language
    assert found.grade <= 6


GOOD = """\
materials:
  - code: copd
    title: Breathing
    icd10: [J44]
    language: en
    grade: 5
    version: 1
    reviewed: 2026-01-01
    text: Breathe.
"""


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("[J44]", "[J4]", "x.yaml:4:13: found J4; expected an ICD-10 prefix"),
        ("    icd10: [J44]\n", "", "x.yaml:2:5: found no icd10; expected a list of ICD-10 prefixes"),
        ("language: en", "language: English", "x.yaml:5:15: found English; expected a language"),
        ("grade: 5", "grade: 15", "x.yaml:6:12: found 15; expected a reading grade"),
        ("version: 1", "version: one", "x.yaml:7:14: found one; expected a whole number"),
        ("2026-01-01", "last year", "x.yaml:8:15: found last year; expected a date"),
        ("text:", "txt:", "x.yaml:9:5: found the key txt; expected a key of material; did you mean text?"),
        ("code: copd", "code: C O P D", "x.yaml:2:11: found C O P D; expected a code"),
        ("title: Breathing", "title:", "x.yaml:3:11: found no text; expected the key title"),
        ("materials:", "material:", "x.yaml:1:1: found a file without materials"),
        (GOOD, "materials:\n  - a\n", "x.yaml:2:5: found no table"),
        (GOOD, "materials: [", "x.yaml:2:1: "),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_column(tmp_path, old, new, finding):
    (tmp_path / "x.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(CheckFailed) as failed:
        load_catalogue(tmp_path)
    assert any(str(f).startswith(finding) for f in failed.value.problems), str(failed.value)
