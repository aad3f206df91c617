"""An engineer's day: tables put in force while the gateway runs, a wrong set refused, the past refolded, and back."""

import json
import shlex

import pytest

from fhir_bridge.wiring.sets import mapping_files
from tests.gateway_process import Gateway, until
from tests.spec.mapping.test_guide import commands, says

SAID = (
    r"MSH|^~\&|ACMEREG|LGHW|FHIRBRIDGE|LGH|20260311091500||ADT^A01^ADT_A01|{n}|P|2.5.1" + "\r"
    "EVN|A01|20260311091500\rPID|1||{mrn}^^^LGH^MR||OKAFOR-REYES^MARISOL||19510314|W\r"
    "PV1|1|I" + "|" * 17 + "V{mrn}^^^LGHVN^VN\r"
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
def gateway(request, tmp_path_factory):
    settings = ""
    if request.param == "postgres":
        settings = f'[database]\nengine = "postgresql"\nurl = "{request.getfixturevalue("postgres").new_schema()}"\n'
    with Gateway(tmp_path_factory.mktemp("gateway"), settings=settings) as running:
        yield running


def gender(gateway, mrn):
    (found,) = gateway.get("/api/patients", identifier=mrn)["items"]
    return gateway.get(f"/fhir/Patient/{found['id']}").get("gender")


def say(gateway, mrn, n):
    body = SAID.format(mrn=mrn, n=n).encode()
    gateway.session.post(f"{gateway.url}/hl7v2", data=body, timeout=60).raise_for_status()
    until(gateway.settled)


def sets(gateway):
    done = gateway.run("mapping", "list", "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tables_live_and_go_back_while_the_gateway_runs(gateway, tmp_path):
    say(gateway, "700", 1)
    assert gender(gateway, "700") == "unknown", "W is no code of the base"
    folder = tmp_path / "mine"
    overlay = folder / "sites" / "mine"
    overlay.mkdir(parents=True)
    (overlay / "overlay.yaml").write_text("overlay: mine\nlevel: site\n")
    (overlay / "codes.yaml").write_text("extend: AdministrativSex\ntable: {W: female}\n")

    wrong = gateway.run("mapping", "activate", str(folder))
    assert wrong.returncode == 1
    assert "sites/mine/codes.yaml:1:9: found no code table AdministrativSex" in wrong.stdout
    assert "did you mean AdministrativeSex?" in wrong.stdout

    say(gateway, "701", 2)
    write_base(tmp_path / "tables")
    live = iter(commands("Going live"))
    step(gateway, tmp_path, *next(live))
    say(gateway, "702", 3)
    assert (gender(gateway, "702"), gender(gateway, "700")) == ("female", "unknown"), "the past stays as it was"
    step(gateway, tmp_path, *next(live))
    step(gateway, tmp_path, *next(live))
    assert (gender(gateway, "700"), gender(gateway, "701")) == ("female", "unknown"), "who was asked for is refolded"
    step(gateway, tmp_path, *next(live))
    say(gateway, "703", 4)
    assert gender(gateway, "703") == "unknown", "the tables before are in force again"
    gateway.stop()
    gateway.start()
    assert len(sets(gateway)) == 3, "a start puts nothing else in force than what was put there by hand"
    step(gateway, tmp_path, *next(live))
    assert next(live, None) is None
    assert {gender(gateway, mrn) for mrn in ("700", "701", "702", "703")} == {"unknown"}
    until(gateway.settled)
    done = gateway.run("rebuild")
    assert done.returncode == 0, done.stdout + done.stderr


def step(gateway, folder, command, expected):
    """A command of the guide; what it prints is what the guide says."""
    words = [str(folder / word) if word == "tables" else word for word in shlex.split(command)[1:]]
    done = gateway.run(*words)
    assert done.returncode == 0, done.stderr
    assert says(expected, done.stdout + done.stderr), f"{command}\n{done.stdout}{done.stderr}"


def write_base(folder):
    """The tables that come along, with one code more."""
    for name, text in mapping_files(None).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("  M: male\n", "  M: male\n  W: female\n"), encoding="utf-8")
