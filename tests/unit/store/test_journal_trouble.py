"""Trouble of the storage is told when it begins, changes and ends, and now and then while it lasts: not for each group."""

from __future__ import annotations

import pytest
import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind, Receipt
from fhir_bridge.store import journal_writer
from fhir_bridge.store.journal_writer import GroupingWriter

DRAFT = Draft(Kind.HL7V2, "lgh", 0, 0, "K", "ADT^A01", b"")


class Storage(GroupingWriter):
    """A storage that fails as it is told."""

    trouble = ""

    def __init__(self):
        super().__init__(10, 1000)
        self._start()

    def _store(self, drafts):
        if self.trouble:
            return self._trouble(self.trouble, len(drafts))
        self._recovered()
        return [Receipt(1, 1, 0) for _ in drafts]

    def _release(self):
        pass


@pytest.fixture
def told():
    with structlog.testing.capture_logs() as lines:
        yield lambda: [(line["event"].removeprefix("journal."), line.get("code")) for line in lines]


def test_trouble_that_lasts_is_told_once(told):
    storage = Storage()
    for trouble in ("", "53300", "53300", "53300", "57P03", "57P03", "", ""):
        storage.trouble = trouble
        if trouble:
            with pytest.raises(JournalFull):
                storage.append(DRAFT, 60)
        else:
            storage.append(DRAFT, 60)
    storage.close()
    assert told() == [("storage_trouble", "53300"), ("storage_trouble", "57P03"), ("recovered", None)]
    assert storage.failures == 5


def test_after_some_time_it_is_told_again(told, monkeypatch):
    monkeypatch.setattr(journal_writer, "TELL_SECONDS", 0.0)
    storage = Storage()
    storage.trouble = "53300"
    for _ in range(3):
        with pytest.raises(JournalFull):
            storage.append(DRAFT, 60)
    storage.close()
    assert told() == [("storage_trouble", "53300")] * 3
