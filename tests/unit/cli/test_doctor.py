"""`doctor` says of the mapping tables what a start would say."""

from fhir_bridge.cli import upkeep
from fhir_bridge.config import load


def test_an_overlay_that_a_feed_names_and_nobody_has_is_an_error(tmp_path):
    (tmp_path / "fhir-bridge.toml").write_text('[feeds.mllp]\nport = 2575\nsite = "west"\n')
    what, good, says = upkeep._mappings(load(None, {}, tmp_path))
    assert (what, good) == ("mappings", False)
    assert "no overlay west" in says
