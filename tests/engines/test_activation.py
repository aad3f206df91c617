"""Sets come into force, go back, and reach the past, on both engines (FOLD 11-13): by entries, and a rebuild agrees."""

from __future__ import annotations

import uuid

import orjson
import pytest
import structlog

from fhir_bridge.pipeline.apply import Fold
from fhir_bridge.pipeline.partitions import PartitionWorker
from fhir_bridge.pipeline.ports import Draft, Kind, Outcome
from fhir_bridge.pipeline.receive import partition_of
from fhir_bridge.pipeline.worker import Worker
from fhir_bridge.store import digest
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader
from fhir_bridge.store.postgres import digest as postgres_digest
from fhir_bridge.store.postgres import schema
from fhir_bridge.store.postgres.connection import TROUBLE
from fhir_bridge.store.postgres.journal import PostgresJournal
from fhir_bridge.store.postgres.journal_reader import PostgresJournalReader
from fhir_bridge.store.postgres.partitions import PostgresPartitions
from fhir_bridge.store.postgres.queries import PostgresQueries
from fhir_bridge.store.postgres.state_shared import SharedPostgresState
from fhir_bridge.store.queries import SqliteQueries
from fhir_bridge.store.state import SqliteState
from fhir_bridge.wiring.activation import HAND, draft, history, refold_draft
from fhir_bridge.wiring.sets import MAPPING, RULES, SETTINGS, SetLibrary

from .several_workers import NAMESPACE, START, close

MINUTE = 60_000_000
RULES_FILE = {
    "rules/one.yaml": "rules:\n  - code: welcome-round\n    version: 1\n    title: Welcome\n    citation: custom\n    scope: Encounter\n"
    "    fact: admitted\n    when: \"%encounter.class.code = 'IMP'\"\n    due: 24 h\n    queue: G\n    retract: discharged\n"
    "    closes_with: a visit\n    why: admitted\n"
}
SETTINGS_FILE = {
    "settings.json": orjson.dumps(
        {
            "feeds": {"lgh": {"source": "ehr", "zone": "UTC", "charset": None, "authority": "LGH"}},
            "facility": {"zone": "UTC", "language": "en"},
            "destination": "",
            "precedence": ["ehr", "gateway"],
        }
    ).decode()
}
PID = 'map: PID[Patient]\nrows:\n  - {from: PID-3, to: "identifier[]", using: "CX[Identifier]"}\n  - {from: PID-5.1, to: "name[].family"}\n  - {from: PID-8, to: gender, codes: Sex}\n'
BASE = {
    "CX.yaml": 'map: CX[Identifier]\nrows:\n  - {from: CX.1, to: value}\n  - {from: CX.4, to: system, using: "HD[uri]"}\n',
    "PID.yaml": PID,
    "Sex.yaml": "codes: Sex\ntable: {M: male, F: female}\nunmapped: {fixed: unknown}\n",
    "PV1.yaml": "map: PV1[Encounter]\nrows:\n  - {to: status, value: in-progress}\n  - {from: PV1-2, to: class.code}\n",
    "MRG.yaml": 'map: MRG[Patient]\nrows:\n  - {from: MRG-1, to: "identifier[]", using: "CX[Identifier]"}\n',
    "ADT.yaml": "message: ADT\ntriggers: {ADT^A01: {fact: admitted}, ADT^A08: {}, ADT^A40: {}}\nrows:\n"
    '  - {segment: PID, as: patient, make: Patient, using: "PID[Patient]", key: {identifier: PID-3}, required: true}\n'
    '  - {segment: PV1, as: encounter, make: Encounter, using: "PV1[Encounter]", key: {identifier: PV1-19}, set: {subject: patient}}\n'
    '  - {segment: MRG, make: Patient, using: "MRG[Patient]", key: {identifier: MRG-1}, merged_into: patient}\n',
}


def tables(**others):
    """The base, with files in place of its own."""
    return {f"hl7v2_to_fhir/{name}": text for name, text in {**BASE, **others}.items()}


FIXED = tables(**{"PID.yaml": PID.replace("PID-8, to: gender, codes: Sex", "PID-7, to: birthDate")})
CLASSED = tables(
    **{"PV1.yaml": BASE["PV1.yaml"].replace("{from: PV1-2, to: class.code}", "{to: class, value: {code: AMB}}")}
)


def pid(mrn, trigger="A08", sex="F", n=0, more=()):
    lines = [
        rf"MSH|^~\&|APP|LGH|F|L|2026030208{n:02d}00||ADT^{trigger}|K{n}|P|2.8",
        f"PID|1||{mrn}^^^LGH||GREY{n}||19510314|{sex}",
        *more,
    ]
    return "\r".join(lines).encode()


class Rig:
    """A journal, a state and a worker; what is appended is applied when `work` is called."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.open()

    def open(self):
        self.journal = SqliteJournal(self.folder / "journal.db")
        self.reader = SqliteJournalReader(self.folder / "journal.db")
        self.state = SqliteState(self.folder / "state.db")
        self.queries = SqliteQueries(self.folder / "state.db")
        self.worker = self.make(self.state)

    def make(self, state):
        return Worker(self.reader, state, Fold(state, self.reader, self.library(), lambda _: []), (OSError,))

    def library(self):
        return SetLibrary(self.folder, NAMESPACE)

    def work(self):
        while self.worker.step():
            pass

    def put(self, one):
        return self.journal.append(one).seq

    def say(self, mrn, trigger="A08", **more):
        self.n += 1
        body = pid(mrn, trigger, n=self.n, **more)
        at = START + self.n * MINUTE
        return self.put(Draft(Kind.HL7V2, "lgh", at, partition_of(str(mrn)), f"K{self.n}", f"ADT^{trigger}", body))

    def activate(self, kind, files, by=HAND):
        self.n += 1
        before = self.queries.activations().get(kind, ("", None))[1]
        seq = self.put(draft(kind, files, START + self.n * MINUTE, before=before, by=by))
        self.work()
        return seq

    def refold(self, *mrns):
        self.n += 1
        ids = [patient_id(mrn) for mrn in mrns]
        seq = self.put(refold_draft(ids, "", START + self.n * MINUTE))
        self.work()
        return self.queries.outcome(seq)

    def patient(self, mrn):
        return {name: next(iter(by.values()))[2] for name, by in self.state_doc(patient_id(mrn))["els"].items()}

    def state_doc(self, part_id):
        return self.queries.part(part_id)["doc"]

    def column(self, sql):
        return [next(iter(row.values())) for row in self.queries._all(sql)]

    def rebuilt(self):
        fresh = SqliteState(self.folder / "fresh.db")
        worker = Worker(self.reader, fresh, Fold(fresh, self.reader, self.library(), lambda _: []), (OSError,))
        while worker.step():
            pass
        fresh.close()
        return digest.digests(self.folder / "fresh.db")

    def digests(self):
        return digest.digests(self.folder / "state.db")

    def close(self):
        self.queries.close()
        self.state.close()
        self.reader.close()
        self.journal.close()


class PostgresRig(Rig):
    def __init__(self, folder, url):
        self.url = url
        schema.bring_up(url)
        super().__init__(folder)

    def open(self):
        self.journal, self.reader = PostgresJournal(self.url), PostgresJournalReader(self.url)
        self.queries = PostgresQueries(self.url)
        self.state, sets = SharedPostgresState(self.url), self.library()
        fold = Fold(self.state, self.reader, sets, lambda _: [], alone=False)
        partitions = PostgresPartitions(self.url, "one", 15.0)
        refresh = lambda: sets.restore(self.state.active_sets(), self.reader)  # noqa: E731
        self.worker = PartitionWorker(self.reader, self.state, fold, partitions, TROUBLE, refresh)

    def digests(self):
        return postgres_digest.digests(self.url)

    def close(self):
        self.queries.close()
        close(self.worker)
        self.journal.close()


@pytest.fixture(params=["sqlite", "postgres"])
def rig(request, tmp_path):
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    made = (
        PostgresRig(tmp_path, request.getfixturevalue("postgres").new_schema())
        if request.param == "postgres"
        else Rig(tmp_path)
    )
    for kind, files in ((MAPPING, tables()), (RULES, RULES_FILE), (SETTINGS, SETTINGS_FILE)):
        made.activate(kind, files)
    yield made
    made.close()
    structlog.reset_defaults()


def patient_id(mrn):
    return str(uuid.uuid5(NAMESPACE, f"Patient|urn:fhir-bridge:authority:LGH|{mrn}"))


def visit_id(number):
    return str(uuid.uuid5(NAMESPACE, f"Encounter|urn:fhir-bridge:authority:LGH|{number}"))


def pv1(number, kind="IMP"):
    return [f"PV1|1|{kind}" + "|" * 17 + f"{number}^^^LGH"]


def test_a_set_is_in_force_from_its_entry_on(rig):
    before = rig.say(1)
    other = rig.say(2)
    rig.activate(MAPPING, FIXED)
    after = rig.say(2)
    rig.work()
    assert (rig.patient(1).get("gender"), rig.patient(1).get("birthDate")) == ("female", None)
    assert rig.patient(2)["birthDate"] == "1951-03-14"
    sets = {seq: rig.queries.outcome(seq)["sets"] for seq in (before, other, after)}
    assert sets[before] == sets[other] != sets[after]


def test_the_history_is_a_walk_and_the_set_before_comes_back(rig):
    first = next(history(rig.reader, rig.queries.activations()))
    rig.activate(MAPPING, FIXED)
    second, *_ = history(rig.reader, rig.queries.activations())
    assert (second.before, second.files, second.by) == (first.seq, FIXED, HAND)
    rig.activate(MAPPING, first.files)
    rig.say(1)
    rig.work()
    assert rig.patient(1)["gender"] == "female"
    assert [one.hash for one in history(rig.reader, rig.queries.activations())] == [first.hash, second.hash, first.hash]


@pytest.mark.parametrize(
    "files",
    [
        tables(**{"PID.yaml": PID.replace("gender", "gendr")}),
        tables(**{"PID.yaml": "map: [\n"}),
        {**tables(), "sites/a/overlay.yaml": "overlay: a\nlevel: site\n", "hl7v2_to_fhir/X.yaml": "\t"},
    ],
)
def test_a_set_that_does_not_check_changes_nothing_and_says_so(rig, files):
    seq = rig.activate(MAPPING, files)
    outcome = rig.queries.outcome(seq)
    assert (outcome["outcome"], outcome["code"]) == (Outcome.PARKED, "set-does-not-check")
    assert outcome["location"].startswith("hl7v2_to_fhir/")
    rig.say(1)
    rig.work()
    assert rig.patient(1)["gender"] == "female"


def test_a_batch_that_is_undone_takes_its_set_along(tmp_path):
    """What is tried again is folded under the sets that were in force then (one batch: an entry, a set, an entry)."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    rig = Rig(tmp_path)
    for kind, files in ((MAPPING, tables()), (RULES, RULES_FILE), (SETTINGS, SETTINGS_FILE)):
        rig.activate(kind, files)
    rig.say(1)
    rig.put(draft(MAPPING, FIXED, START + 50 * MINUTE, before=None, by=HAND))
    rig.say(2)
    commit, rig.state.commit = rig.state.commit, _fails
    with pytest.raises(OSError, match="full"):
        rig.worker.step()
    rig.state.commit = commit
    rig.work()
    assert (rig.patient(1)["gender"], rig.patient(2)["birthDate"]) == ("female", "1951-03-14")
    rig.close()
    structlog.reset_defaults()


def _fails():
    raise OSError("disk full")


@pytest.mark.parametrize(("clock", "gender"), [("second", "female"), ("minute", "male")])
def test_the_clock_is_as_precise_as_the_overlay_says(rig, clock, gender):
    """Two messages of one minute: by the second the one recorded later stands, by the minute the one that came later."""
    overlay = f"overlay: mine\nlevel: site\nclock: {clock}\n"
    rig.activate(MAPPING, {**tables(), "sites/mine/overlay.yaml": overlay})
    feed = SETTINGS_FILE["settings.json"].replace('"authority":"LGH"', '"authority":"LGH","site":"mine"')
    rig.activate(SETTINGS, {"settings.json": feed})
    for second, sex in ((50, "F"), (10, "M")):
        body = pid(1, sex=sex).replace(b"20260302080000", b"202603020800%d" % second)
        rig.put(Draft(Kind.HL7V2, "lgh", START + MINUTE, partition_of("1"), f"K{second}", "ADT^A08", body))
    rig.work()
    assert rig.patient(1)["gender"] == gender


def test_settings_that_name_no_overlay_change_nothing(rig):
    settings = {
        "settings.json": SETTINGS_FILE["settings.json"].replace(
            '"authority":"LGH"', '"authority":"LGH","site":"nowhere"'
        )
    }
    outcome = rig.queries.outcome(rig.activate(SETTINGS, settings))
    assert (outcome["outcome"], outcome["code"]) == (Outcome.PARKED, "set-does-not-check")


def test_a_patient_is_refolded_whole_under_the_set_in_force(rig):
    rig.say(1, "A01", more=pv1(11))
    rig.say(2)
    rig.activate(MAPPING, FIXED)
    assert rig.patient(1)["gender"] == "female", "the past stays until it is refolded"
    outcome = rig.refold(1)
    assert (outcome["outcome"], outcome["result"]["body"]) == ("applied", {"patients": 1, "entries": 1})
    assert (rig.patient(1).get("gender"), rig.patient(1)["birthDate"]) == (None, "1951-03-14"), (
        "no value of the row that is gone"
    )
    assert rig.patient(2)["gender"] == "female", "nobody else is touched"
    visit = rig.state_doc(visit_id(11))
    assert [row[2] for row in visit["facts"]["ehr"]["visit"]] == ["admitted"]


def test_what_is_linked_is_refolded_together(rig):
    rig.say(1)
    rig.say(2)
    rig.say(1, "A40", more=["MRG|2^^^LGH"])
    rig.activate(MAPPING, FIXED)
    rig.refold(2)
    for mrn in (1, 2):
        assert (rig.patient(mrn).get("gender"), rig.patient(mrn)["birthDate"]) == (None, "1951-03-14"), mrn


def test_obligations_follow_a_refold(rig):
    rig.say(1, "A01", more=pv1(11))
    rig.activate(MAPPING, CLASSED)
    assert rig.column("SELECT status FROM task") == ["requested"]
    rig.refold(1)
    assert rig.column("SELECT status FROM task") == ["cancelled"]


def test_identifiers_of_the_old_set_find_nobody_any_more(rig):
    rig.say(1)
    numbered = BASE["CX.yaml"].replace("{from: CX.1, to: value}", '{template: "N{CX.1}", to: value}')
    rig.activate(MAPPING, tables(**{"CX.yaml": numbered}))
    rig.refold(1)
    assert rig.column("SELECT value FROM identifier") == ["N1"]


def test_a_refold_that_cannot_be_whole_changes_nothing(rig):
    rig.say(1, "A01", more=pv1(11))
    rig.say(1)
    strict = BASE["ADT.yaml"].replace("set: {subject: patient}}", "set: {subject: patient}, required: true}")
    rig.activate(MAPPING, {**FIXED, "hl7v2_to_fhir/ADT.yaml": strict})
    before = rig.digests()
    outcome = rig.refold(1)
    assert (outcome["outcome"], outcome["code"]) == (Outcome.PARKED, "refold-missing-segment")
    assert outcome["location"].endswith(" PV1")
    after = rig.digests()
    assert {table for table in after if after[table] != before[table]} == {"cursor", "counter", "outcome"}


def test_a_rebuild_equals_the_live_state(rig, tmp_path):
    for mrn in (1, 2, 3):
        rig.say(mrn, "A01", more=pv1(10 + mrn))
    rig.say(1, "A40", more=["MRG|2^^^LGH"])
    rig.activate(MAPPING, FIXED)
    rig.say(3)
    rig.refold(1, 3)
    rig.activate(MAPPING, tables())
    rig.say(3, sex="M")
    rig.work()
    rig.refold(2)
    assert rig.rebuilt() == rig.digests()
