"""mapping rollback, as a command on a folder."""

from __future__ import annotations

import sys

from fhir_bridge.cli import activating
from fhir_bridge.cli.main import main
from fhir_bridge.wiring.activation import Activation


def test_tables_without_an_overlay_that_a_feed_names_are_not_gone_back_to(tmp_path, monkeypatch, capsys):
    with_it, without = ({"sites/west/overlay.yaml": "overlay: west\n"}, {"messages/ADT.yaml": "message: ADT\n"})
    sets = [Activation(9, 9, "b" * 32, "hand", 1, with_it), Activation(1, 1, "a" * 32, "configuration", None, without)]
    monkeypatch.setattr(sys.modules["fhir_bridge.cli.main"], "configure_logs", lambda *_: None)  # all tests have them
    monkeypatch.setattr(activating, "_history", lambda _: iter(sets))
    monkeypatch.setenv("FHIR_BRIDGE_FEEDS_HTTP_SITE", "west")
    assert main(["mapping", "rollback", "--var", str(tmp_path)]) == 1
    assert (
        "aaaaaaaaaaaa has no overlay west, which a feed's settings name: nothing was changed" in capsys.readouterr().err
    )
