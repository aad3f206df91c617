"""docs/mapping-guide.md is true: its commands are run as they stand, and say what it says they do."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_bridge.cli import main
from fhir_bridge.wiring import sets

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "mapping-guide.md"
DOCUMENT = '{"resourceType": "DocumentReference", "id": "d", "status": "current", "content": []}'


def commands(section):
    """(command, expected lines) of a section: ``$ `` begins a command, ``> `` goes on with it."""
    text = GUIDE.read_text(encoding="utf-8").partition(f"\n## {section}")[2].partition("\n## ")[0]
    found = []
    for line in text.splitlines():
        if line.startswith("    $ "):
            found.append([line[6:], []])
        elif line.startswith("    > ") and found:
            found[-1][0] += "\n" + line[6:]
        elif line.startswith("    ") and found and found[-1][1] is not None:
            found[-1][1].append(line[4:])
        elif found and not line.startswith("    "):
            found.append(["", None])
    return [(command, expected) for command, expected in found if command]


def says(expected, output):
    """Whether an output is as expected, … standing for anything."""
    pattern = ".*".join(re.escape(part) for part in "\n".join(expected).split("…"))
    return re.fullmatch(pattern, output.strip("\n"), re.DOTALL) is not None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkout to work in, in which compiled sets are kept."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "mappings").symlink_to(ROOT / "mappings")
    (folder / "document.json").write_text(DOCUMENT)
    load, cache = sets.load_mapping_files, folder / "cache"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sets, "load_mapping_files", lambda files, _, site="": load(files, cache, site))
        patched.setattr(sys.modules["fhir_bridge.cli.main"], "configure_logs", lambda *_: None)  # the tests' own stay
        patched.chdir(folder)
        yield folder


def run(command):
    """A command's output, both streams in the order in which they are read: what is told comes last."""
    if not command.startswith("fhir-bridge "):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline=""), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main(shlex.split(command)[1:])
        out.flush()
    return out.buffer.getvalue().decode() + err.getvalue()


@pytest.mark.parametrize("section", ["Connect a hospital", "FHIR to HL7 v2"])
def test_the_commands_of_the_guide_say_what_it_says(place, section):
    found = commands(section)
    assert found, "the guide has commands there"
    for command, expected in found:
        output = run(command)
        assert says(expected, output), f"{command}\n{output}"
