"""A demo's folder: only ever its own, ready for each start, and never anybody else's."""

import json
import socket
from itertools import count

import pytest

from fhir_bridge import config
from fhir_bridge.privacy import Role
from fhir_bridge.sandbox import ehr
from fhir_bridge.sandbox.demo import MARKER, Demo, DemoRefusedError
from fhir_bridge.store.tokens import SqliteTokens

NOW = 1_773_115_200_000_000


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def demo(tmp_path):
    return Demo(tmp_path / "demo", http_port=free_port(), mllp_port=free_port(), fhir_port=free_port())


def prepare(demo, numbers=None):
    numbers = numbers or count()
    return demo.prepare(NOW, lambda: f"secret-{next(numbers):020d}")


@pytest.mark.parametrize("content", ["journal.db", "notes.txt"])
def test_a_folder_with_something_else_is_refused_and_stays_as_it_is(demo, content):
    demo.folder.mkdir()
    (demo.folder / content).write_text("mine")
    with pytest.raises(DemoRefusedError, match="no demo's"):
        demo.check()
    assert [file.name for file in demo.folder.iterdir()] == [content]


def test_a_file_in_place_of_the_folder_is_refused(demo):
    demo.folder.write_text("a file")
    with pytest.raises(DemoRefusedError, match="is a file"):
        demo.check()


def test_checking_makes_nothing(demo):
    demo.check()
    assert not demo.folder.exists()


def test_an_empty_folder_and_a_demos_folder_are_fine(demo):
    demo.folder.mkdir()
    demo.check()
    prepare(demo)
    demo.check()


def test_a_taken_port_is_named_with_its_option(demo):
    with socket.create_server(("127.0.0.1", demo.mllp_port)):
        with pytest.raises(DemoRefusedError, match=rf"127\.0\.0\.1:{demo.mllp_port} \(--mllp\)"):
            demo.check()
        assert not demo.folder.exists()


def test_the_settings_that_it_writes_are_valid_and_name_the_ehr(demo):
    prepare(demo)
    settings = config.load(environment={"FHIR_BRIDGE_CONFIG": str(demo.folder / "fhir-bridge.toml")})
    assert settings.var == demo.folder
    assert settings.http.port == demo.http_port
    assert [address.port for address in settings.mllp] == [demo.mllp_port]
    assert settings.feeds["mllp"].authority == "LGH"
    assert settings.facility.zone == "America/New_York"
    (destination,) = settings.destinations
    assert destination.base_url == demo.ehr_url
    assert destination.token_file is not None
    assert destination.token_file.read_text().strip()


def test_tokens_are_for_an_associate_and_for_the_portal_and_secrets_are_for_the_owner_only(demo):
    prepare(demo)
    tokens = SqliteTokens(demo.folder / "tokens.db")
    anna = tokens.sign_in(demo.associate_token.read_text().strip(), 1).principal
    portal = tokens.sign_in((demo.ehr_folder / "portal.token").read_text().strip(), 1).principal
    first = tokens.sign_in((demo.folder / "token").read_text().strip(), 1).principal
    tokens.close()
    assert anna is not None
    assert portal is not None
    assert first is not None
    assert (anna.role, portal.role, portal.feed, first.role) == (Role.PRA, Role.FEED, "portal", Role.ADMIN)
    for file in demo.folder.rglob("*token"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert demo.folder.stat().st_mode & 0o777 == 0o700


def test_each_start_tells_another_day_and_keeps_tokens_and_data(demo):
    numbers = count()
    first = ehr._settings(prepare(demo, numbers))
    secret = demo.associate_token.read_text()
    (demo.folder / "journal.db").write_text("stored")
    second = ehr._settings(prepare(demo, numbers))
    assert (first.number, second.number) == (1, 3)  # 2 is what follows day 1 in real time
    assert demo.associate_token.read_text() == secret
    assert (demo.folder / "journal.db").read_text() == "stored"
    assert json.loads((demo.folder / MARKER).read_text())["starts"] == 2


def test_the_ehr_understands_its_arguments(demo):
    settings = ehr._settings(prepare(demo))
    assert settings.mllp == ("127.0.0.1", demo.mllp_port)
    assert settings.http == demo.url
    assert settings.began == NOW
    assert settings.token == (demo.ehr_folder / "portal.token").read_text().strip()
    assert "--token-file" in demo.endpoint_arguments()
