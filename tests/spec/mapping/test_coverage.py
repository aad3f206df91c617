"""The ledger against HL7's guide: whole where the guide lies beside the tree; its reasons are read everywhere."""

from pathlib import Path

import pytest

from fhir_bridge.cli.coverage import REASONS, ledger_of
from fhir_bridge.coverage import report
from fhir_bridge.coverage.reasons import KINDS, read_reasons

ROOT = Path(__file__).parents[3]
GUIDE = ROOT.parent / "shared" / "corpus" / "v2-to-fhir"


def test_the_reasons_are_well_formed_and_of_the_closed_list():
    path = ROOT / "mappings" / REASONS
    reasons = read_reasons(path.read_text(encoding="utf-8"), path.name)
    assert reasons.entries
    assert {entry.reason for entry in reasons.entries} <= {"", *KINDS}


def test_the_page_tells_of_no_row_that_is_unaccounted_for():
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8").splitlines()
    totals = [line.split("|") for line in page if line.startswith(("| segments ", "| data types "))]
    assert [cells[9].strip() for cells in totals] == ["", ""]
    assert totals[0][2].strip() == "795"
    assert int(totals[0][10].strip(" %")) >= 95


@pytest.mark.skipif(not GUIDE.is_dir(), reason="the guide's tables do not lie beside this tree")
def test_every_row_is_accounted_for_and_the_page_says_so():
    ledger = ledger_of(GUIDE, ROOT / "mappings")
    assert [str(problem) for problem in ledger.problems] == []
    assert report.is_complete(ledger)
    assert report.share(report.figures(ledger.segments)) >= 0.95
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert page == report.page(ledger), "fhir-bridge coverage DIR --page docs/coverage.md"
