"""What a start puts in force: the configured sets, unless an engineer put others there and nothing is new since."""

import orjson
import pytest

from fhir_bridge.config import load
from fhir_bridge.pipeline.ports import Entry
from fhir_bridge.wiring.activation import activation_drafts, by_hand, configured, digest_of, draft
from fhir_bridge.wiring.sets import MAPPING, SET_KINDS

OVERLAY = {"sites/west/overlay.yaml": "overlay: west\nlevel: site\n"}


class Journal:
    """One entry that is in force."""

    def __init__(self, draft):
        self.draft = draft

    def entry(self, seq):
        one = self.draft
        return Entry(seq, one.kind, one.feed, one.received_at, 0, one.key, one.type, one.body)


@pytest.fixture(scope="module")
def var(tmp_path_factory):
    """One folder for all, so that a set is compiled once."""
    return tmp_path_factory.mktemp("var")


@pytest.fixture
def settings(tmp_path, var):
    def make(folder=None):
        text = f'var = "{var}"\n' + (f'[mapping]\nfolder = "{folder}"\n' if folder else "")
        (tmp_path / "fhir-bridge.toml").write_text(text)
        return load(None, {}, tmp_path)

    return make


def active_of(settings, mapping_files):
    found = {kind: (digest_of(files), 3) for kind, files in configured(settings).items()}
    return found | {MAPPING: (digest_of(mapping_files), 3)}


def puts(settings, journal, active):
    drafts, problems = activation_drafts(settings, active, 1, journal)
    assert problems == []
    return [orjson.loads(one.body)["kind"] for one in drafts]


def test_what_was_put_in_force_by_hand_stands_over_a_start(settings):
    mine = {**configured(settings())[MAPPING], **OVERLAY}
    active = active_of(settings(), mine)
    assert puts(settings(), Journal(by_hand(settings(), mine, active, 1)), active) == []


def test_what_was_configured_before_gives_way_to_what_is_configured_now(settings):
    old = {**configured(settings())[MAPPING], **OVERLAY}
    active = active_of(settings(), old)
    journal = Journal(draft(MAPPING, old, 1, before=None, by="configuration"))
    assert puts(settings(), journal, active) == [MAPPING]


def test_a_configured_folder_that_says_something_new_takes_over(settings, tmp_path):
    folder = tmp_path / "tables" / "sites" / "west"
    folder.mkdir(parents=True)
    (folder / "overlay.yaml").write_text("overlay: west\nlevel: site\n")
    there = settings(tmp_path / "tables")
    mine = {**configured(there)[MAPPING], "sites/east/overlay.yaml": "overlay: east\nlevel: site\n"}
    active = active_of(there, mine)
    journal = Journal(by_hand(there, mine, active, 1))
    assert [kind for kind in puts(there, journal, active) if kind == MAPPING] == []
    (folder / "codes.yaml").write_text("extend: AdministrativeSex\ntable: {W: female}\n")
    assert MAPPING in puts(there, journal, active)


def test_every_kind_is_put_in_force_at_first(settings):
    assert puts(settings(), None, {}) == list(SET_KINDS)


def test_a_feed_that_names_no_overlay_is_told_before_anything_is_stored(var, tmp_path):
    (tmp_path / "fhir-bridge.toml").write_text(f'var = "{var}"\n[feeds.http]\nsite = "nowhere"\n')
    drafts, problems = activation_drafts(load(None, {}, tmp_path), {}, 1)
    assert any("no overlay nowhere" in problem for problem in problems)
    assert [one.type for one in drafts] == ["activation.rules"]
