"""What the settings say of feeds and sources reaches the fold by the settings' own activation entry."""

import orjson

from fhir_bridge.config import load
from fhir_bridge.wiring.activation import configured
from fhir_bridge.wiring.sets import SETTINGS

TEXT = """
[facility]
precedence = ["registration"]
[feeds.adt]
source = "registration"
[feeds.clinic]
"""


def test_sources_and_their_precedence_are_part_of_the_settings_in_force(tmp_path):
    (tmp_path / "fhir-bridge.toml").write_text(TEXT)
    values = orjson.loads(configured(load(None, {}, tmp_path))[SETTINGS]["settings.json"])
    assert {name: feed["source"] for name, feed in values["feeds"].items() if name in ("adt", "clinic")} == {
        "adt": "registration",
        "clinic": "ehr",
    }
    assert values["precedence"] == ["registration", "gateway"]
