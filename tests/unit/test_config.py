"""Settings: where they come from, what is wrong with them, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_bridge.config import ConfigError, environment_name, load
from fhir_bridge.feeds.feed import AckMode, Feed, MllpAddress, StorageTrouble, Tls

FULL = """
var = "data"

[http]
host = "0.0.0.0"
port = 9000

[facility]
name = "Larkspur General Hospital"
zone = "America/New_York"
language = "en-US"
precedence = ["adt", "ehr"]

[mapping]
folder = "tables"
site = "larkspur"

[feeds.lgh]
host = "0.0.0.0"
port = 2576
zone = "America/Chicago"
charset = "iso-8859-1"
authority = "LGH"
source = "adt"
ack = "original"
on_storage_trouble = "nak"
ack_deadline = 2.5
max_size = 65536
silent_after = 600
max_connections = 20
idle_timeout = 300
read_timeout = 15
types = ["ADT", "SIU^S12"]
facilities = ["LGH"]
authorities = ["LGH", "LGHVN"]
park_limit = 0.2

[feeds.lgh.tls]
certificate = "lgh.pem"
key = "lgh.key"
client_ca = "ca.pem"
client_subjects = ["adt.larkspur.example", "siu.larkspur.example"]

[feeds.clinic]

[destinations.ehr]
base_url = "https://ehr.example/fhir/"
token_file = "ehr.token"
profile = "oracle"
"""


def settings(folder, text="", arguments=None, **environment):
    if text:
        (folder / "fhir-bridge.toml").write_text(text)
    return load(arguments, environment, folder)


def errors(folder, text="", **environment):
    with pytest.raises(ConfigError) as failure:
        settings(folder, text, **environment)
    return failure.value.errors


def test_without_any_settings_the_gateway_is_embedded_and_listens_on_loopback_only(tmp_path):
    found = settings(tmp_path)
    assert (found.var, found.http.host, found.http.port) == (Path("var"), "127.0.0.1", 8080)
    assert [(address.feed.name, address.host, address.port) for address in found.mllp] == [("mllp", "127.0.0.1", 2575)]
    assert set(found.feeds) == {"mllp", "http"}
    assert (found.destinations, found.mapping_folder, found.site, found.token) == ((), None, None, None)
    assert {line.source for line in found.report} == {"default"}


def test_every_key_of_the_file_arrives(tmp_path):
    found = settings(tmp_path, FULL)
    lgh = Feed(
        "lgh",
        "America/Chicago",
        "iso-8859-1",
        "LGH",
        "adt",
        AckMode.ORIGINAL,
        StorageTrouble.NAK,
        ack_deadline=2.5,
        max_size=65536,
        silent_after=600,
        max_connections=20,
        idle_timeout=300,
        read_timeout=15,
        types=("ADT", "SIU^S12"),
        facilities=("LGH",),
        authorities=("LGH", "LGHVN"),
        park_limit=0.2,
        refused_documents=("PSYTHPN",),
        site="larkspur",
    )
    tls = Tls(
        tmp_path / "lgh.pem",
        tmp_path / "lgh.key",
        tmp_path / "ca.pem",
        ("adt.larkspur.example", "siu.larkspur.example"),
    )
    assert found.mllp == (MllpAddress(lgh, "0.0.0.0", 2576, tls),)
    clinic = Feed("clinic", zone="America/New_York", site="larkspur", refused_documents=("PSYTHPN",))
    assert found.feeds["clinic"] == clinic
    assert found.feeds["http"].zone == "America/New_York"
    assert (found.facility.name, found.facility.language) == ("Larkspur General Hospital", "en-US")
    assert found.facility.precedence == ("adt", "ehr", "gateway")
    assert (found.http.host, found.http.port, found.site) == ("0.0.0.0", 9000, "larkspur")
    [ehr] = found.destinations
    assert (ehr.name, ehr.base_url, ehr.profile) == ("ehr", "https://ehr.example/fhir", "oracle")


def test_paths_in_the_file_are_meant_from_its_folder(tmp_path):
    found = settings(tmp_path, FULL)
    assert found.var == tmp_path / "data"
    assert found.mapping_folder == tmp_path / "tables"
    assert found.destinations[0].token_file == tmp_path / "ehr.token"
    assert settings(tmp_path, FULL, FHIR_BRIDGE_VAR="elsewhere").var == Path("elsewhere")


def test_the_file_may_lie_in_the_var_folder_or_where_a_variable_says(tmp_path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "fhir-bridge.toml").write_text("[http]\nport = 1\n")
    assert settings(tmp_path).http.port == 1
    (tmp_path / "other.toml").write_text("[http]\nport = 2\n")
    assert settings(tmp_path, FHIR_BRIDGE_CONFIG=str(tmp_path / "other.toml")).http.port == 2
    assert errors(tmp_path, FHIR_BRIDGE_CONFIG="/nowhere.toml") == [
        "FHIR_BRIDGE_CONFIG: there is no file /nowhere.toml"
    ]


def test_a_variable_goes_over_the_file_and_the_command_line_over_both(tmp_path):
    text = "[http]\nport = 1\n[feeds.lgh-adt]\nport = 2\n"
    variables = {"FHIR_BRIDGE_HTTP_PORT": "3", "FHIR_BRIDGE_FEEDS_LGH_ADT_PORT": "4"}
    found = settings(tmp_path, text, {"http.port": "5"}, **variables)
    assert (found.http.port, found.mllp[0].port) == (5, 4)
    sources = {line.path: line.source for line in found.report}
    assert sources["http.port"] == "command line"
    assert sources["feeds.lgh-adt.port"] == "FHIR_BRIDGE_FEEDS_LGH_ADT_PORT"
    assert sources["http.host"] == "default"


def test_every_reported_setting_can_be_set_by_its_variable(tmp_path):
    found = settings(tmp_path, FULL)
    values = {line.path: line.value for line in found.report if line.value}
    variables = {environment_name(path): value for path, value in values.items()}
    again = settings(tmp_path, FULL, **variables)
    assert {line.source for line in again.report if line.value} == set(variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[http]\nprot = 1", "fhir-bridge.toml: http.prot: unknown setting; did you mean port?"),
        ("[htpp]\nport = 1", "fhir-bridge.toml: htpp: unknown setting; did you mean http?"),
        ("[http]\nport = 99999", "fhir-bridge.toml: http.port: expected a port, 0 to 65535"),
        ('[http]\nport = "x"', "fhir-bridge.toml: http.port: Not a valid integer."),
        ("http = 3", "fhir-bridge.toml: http: Invalid input type."),
        ("feeds = 3", "fhir-bridge.toml: feeds: Not a valid mapping type."),
        (
            '[feeds.lgh]\nzone = "Mars/Base"',
            "fhir-bridge.toml: feeds.lgh.zone: expected an IANA time zone, like America/New_York",
        ),
        (
            '[feeds.lgh]\nack = "always"',
            "fhir-bridge.toml: feeds.lgh.ack: Must be one of: as-asked, original, accept, on-applied, none.",
        ),
        (
            '[feeds.lgh.tls]\nkey = "lgh.key"',
            "fhir-bridge.toml: feeds.lgh.tls.certificate: expected a PEM file, since there are other TLS settings",
        ),
        (
            '[feeds.lgh.tls]\ncertificate = "c.pem"\nclient_subjects = ["adt"]',
            "fhir-bridge.toml: feeds.lgh.tls.client_ca: expected a PEM file: without it client_subjects prove nothing",
        ),
        (
            '[feeds.lgh.tls]\ncertificate = "c.pem"\nclient_subjects = 3',
            "fhir-bridge.toml: feeds.lgh.tls.client_subjects: expected a list of names",
        ),
        (
            '[feeds.lgh.tls]\ncertificate = "c.pem"\nclient_cas = "ca.pem"',
            "fhir-bridge.toml: feeds.lgh.tls.client_cas: unknown setting; did you mean client_ca?",
        ),
        (
            '[http.tls]\nclient_ca = "ca.pem"',
            "fhir-bridge.toml: http.tls.certificate: expected a PEM file, since there are other TLS settings",
        ),
        (
            '[http.tls]\ncertificate = "c.pem"\nrevoked = "crl.pem"',
            "fhir-bridge.toml: http.tls.client_ca: expected a PEM file: without it no certificate is looked at",
        ),
        (
            '[certificates.adt]\nsubject = "adt.example"\nrole = "feed"',
            "fhir-bridge.toml: certificates.adt.feed: expected the feed that it speaks for, with the role feed and no other",
        ),
        (
            '[certificates.lena]\nsubject = "lena.example"\nrole = "pra"\nscopes = ["all of it"]',
            "fhir-bridge.toml: certificates.lena.scopes: no scope: all of it",
        ),
        ("[feeds.LGH]", "fhir-bridge.toml: feeds.LGH: expected a name of small letters, digits, - and _"),
        ("[destinations.ehr]", "fhir-bridge.toml: destinations.ehr.base_url: Missing data for required field."),
        ('[destinations.ehr]\nbase_url = "ehr"', "fhir-bridge.toml: destinations.ehr.base_url: Not a valid URL."),
    ],
)
def test_what_is_wrong_is_named_by_its_path(tmp_path, text, expected):
    assert errors(tmp_path, text) == [expected]


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    found = errors(
        tmp_path,
        "[http]\nprot = 1\nport = -1\n[feeds.lgh]\ncharset = 'klingon'",
        FHIR_BRIDGE_HTTP_PRT="1",
        FHIR_BRIDGE_TOKEN="x",
    )
    assert [line.split(": ")[:2] for line in found[1:]] == [
        ["FHIR_BRIDGE_TOKEN", "token"],
        ["fhir-bridge.toml", "http.port"],
        ["fhir-bridge.toml", "http.prot"],
        ["fhir-bridge.toml", "feeds.lgh.charset"],
    ]
    assert found[0] == "FHIR_BRIDGE_HTTP_PRT: names no setting; did you mean FHIR_BRIDGE_HTTP_PORT?"


def test_a_file_that_is_no_toml_says_where(tmp_path):
    [line] = errors(tmp_path, "[http\nport = 1")
    assert "not TOML" in line
    assert "line 1" in line


def test_secrets_are_masked_in_the_report(tmp_path):
    text = '[destinations.ehr]\nbase_url = "https://user:hush@ehr.example/fhir"\n'
    found = settings(tmp_path, text, FHIR_BRIDGE_TOKEN="hush-hush-hush-hush")
    assert found.token == "hush-hush-hush-hush"
    assert "hush" not in str(found.report)
    assert {line.path: line.value for line in found.report}["token"] == "***"


def test_an_issuer_is_read_whole(tmp_path):
    (tmp_path / "fhir-bridge.toml").write_text(
        '[auth]\nissuer = "https://idp.example/realms/lgh"\naudience = "fhir-bridge"\nalgorithms = "ES256"\n'
        '[auth.roles]\n"Relations" = "pra"\n"Lead" = "pra-lead"\n',
        encoding="utf-8",
    )
    auth = load(environment={}, folder=tmp_path).auth
    assert auth is not None
    assert (auth.issuer, auth.algorithms, auth.roles) == (
        "https://idp.example/realms/lgh",
        ("ES256",),
        {"Relations": "pra", "Lead": "pra-lead"},
    )
    assert load(environment={}, folder=tmp_path / "elsewhere").auth is None


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ('issuer = "https://idp.example"\n[auth.roles]\n"a" = "pra"', "auth.audience"),
        ('issuer = "https://idp.example"\naudience = "x"', "auth.roles"),
        ('issuer = "https://idp.example"\naudience = "x"\n[auth.roles]\n"a" = "king"', "auth.roles.a"),
        ('algorithms = "none"', "auth.algorithms"),
        ('algorithms = "HS256"', "auth.algorithms"),
        ("skew = 301", "auth.skew"),
    ],
)
def test_an_issuer_that_cannot_be_is_refused_with_its_place(tmp_path, settings, path):
    (tmp_path / "fhir-bridge.toml").write_text(f"[auth]\n{settings}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(environment={}, folder=tmp_path)
    assert [line.split(": ")[1] for line in refused.value.errors] == [path]
