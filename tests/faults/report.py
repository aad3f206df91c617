"""Makes docs/reliability.md from what the last soak left in var/soak: `python -m tests.faults.report`.

What "stored" means stands here as text; every number comes from the files of ledger.py and defences.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from tests.faults.ledger import FOLDER

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"

INTRODUCTION = """# What is promised, and what was tried

Made by `python -m tests.faults.report` from the last soak; do not edit. Counted at the senders' own acknowledgements and
in the sandbox EHR's own log, never in what the gateway says of itself.

## What "stored" means
A positive acknowledgement (AA, CA, 2xx) leaves after the message's bytes were committed to the journal with an fsync that
covers them. They survive the end of any process, and of the machine's power, **on that one disk**:

- A disk that says "synced" and lies, or that dies, takes the journal with it. Put it on storage that is replicated and
  honest about fsync, or use PostgreSQL with synchronous replication, if that is not enough.
- On PostgreSQL "committed" is the database's: each append asks for `synchronous_commit = on`, whatever the server's default
  is. A server whose own `fsync` or `full_page_writes` is off is refused at the start.
- `state.db` is synced less often, on purpose: what a power cut takes from it is folded again from the journal.
- A journal that was put back from a copy is refused while the state is ahead of it. One that has grown past the state
  again cannot be told from the right one: put `state.db` aside too, and it is folded anew.
- A `state.db` that is removed under a running gateway is folded anew; a damaged one stops the worker, which says so, while
  messages are still taken: `fhir-bridge rebuild --replace` repairs it.
- A message that was *not* acknowledged may be stored all the same. Its sender sends it again, and it is found to be the same.
- A write-back of which the EHR's answer is not known is *unsure*, and a person settles it. It is not sent again blindly.
"""

FAULTS = """## How the faults are made
| fault | how |
|---|---|
| kill | SIGKILL of a process at a random moment; the parent too, which is started again |
| kill at a point | the process dies exactly there: functions are wrapped from outside ([inside/](../tests/faults/inside)), production code has no such seam |
| power cut | a library beneath the processes records every write and sync ([writes.c](../tests/faults/writes.c)); what no sync covered is dropped, or a random part of it kept ([power.py](../tests/faults/power.py)). The same cuts find losses with `synchronous` OFF or NORMAL. Needs a C compiler: `apt-get install gcc libc6-dev` |
| disk full | no file of the process may grow (RLIMIT_FSIZE), its logs included |
| locked | another program holds the write lock of the database |
| disk slow | every sync takes 0.2 s longer, by the library beneath the processes |
| database killed, gone, restarted, locked, ends sessions | SIGKILL of all of PostgreSQL, a stop for seconds, a restart, a lock on its tables, `pg_terminate_backend` ([database.py](../tests/faults/database.py)) |
| database slow, cut off, cut in a commit | a relay of PostgreSQL's socket holds bytes back, hangs up, or hangs up where a COMMIT passes: before it, or before its answer |
| frozen | SIGSTOP, and SIGCONT later; senders give up after 0.5 s and send again |
| clock jumps | the wall clock of all processes is a minute or a day wrong, and right again |
| sockets, EHR, files gone | in `make test`: [test_socket_cut.py](../tests/faults/test_socket_cut.py), [test_ehr_faults.py](../tests/faults/test_ehr_faults.py), [test_ehr_rubbish.py](../tests/faults/test_ehr_rubbish.py), [test_gateway_faults.py](../tests/faults/test_gateway_faults.py) |

A slow EHR, and one that answers rubbish, is in the tests of the EHR.
"""

AGAIN = """## Again
    make soak                           # hours; leaves a file a test in var/soak
    python -m tests.faults.defences     # takes each defence away in a copy, and runs the tests that must miss it
    python -m tests.faults.report       # this page
"""


def runs(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """What each long test counted."""
    files = sorted(file for file in folder.glob("*.json") if file.name != "defences.json")
    return [orjson.loads(file.read_bytes()) for file in files]


def page(found: list[dict[str, Any]], defences: list[dict[str, Any]]) -> str:
    """The document."""
    return "\n".join([INTRODUCTION, *_last_soak(found), *_left_out(found), FAULTS, *_defences(defences), AGAIN])


def _last_soak(found: list[dict[str, Any]]) -> list[str]:
    ended = max(run["ended"] for run in found)
    faults: Counter[str] = Counter()
    for run in found:
        faults.update(run["faults"])
    kills = sum(n for name, n in faults.items() if name.startswith("kill"))
    lines = [
        "## The last soak",
        (
            f"Ended {ended}; {len(found)} runs, {sum(faults.values())} faults, {kills} of them kills; {_sum(found, 'inputs')} fuzzed inputs. "
            f"Acknowledged {_sum(found, 'acknowledged')} of {_sum(found, 'sent')} messages; "
            f"**lost: {_sum(found, 'lost')}, doubled: {_sum(found, 'doubled')}, "
            f"written back twice: {_sum(found, 'written_twice')}**."
        ),
        "",
        "| test | runs | passed | faults | acknowledged | lost | doubled | write-backs | twice | unsure | rebuilds | that differ | s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in sorted({_family(run) for run in found}):
        group = [run for run in found if _family(run) == name]
        columns = ("acknowledged", "lost", "doubled", "write_backs", "written_twice", "unsure", "rebuilds")
        cells = [len(group), _sum(group, "passed"), sum(sum(run["faults"].values()) for run in group)]
        cells += [_sum(group, column) for column in (*columns, "rebuilds_differ")]
        lines.append(f"| {name} | {' | '.join(map(str, cells))} | {_sum(group, 'seconds'):.0f} |")
    lines += ["", "| fault | times |", "|---|---:|"]
    return [*lines, *(f"| {name} | {n} |" for name, n in sorted(faults.items())), ""]


def _left_out(found: list[dict[str, Any]]) -> list[str]:
    """What this soak did not run, and what whoever ran it has to say."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-o",
        "addopts=--import-mode=importlib",
        "-q",
        "-m",
        "soak",
        "-p",
        "no:cacheprovider",
        "tests/faults",
    ]
    listed = subprocess.run(command, cwd=DOCUMENT.parents[1], capture_output=True, text=True, check=False).stdout
    assert "::test_" in listed, "pytest did not tell which tests there are"
    wanted = Counter(_family({"test": name}) for name in re.findall(r"::(test_\S+)", listed))
    ran = Counter(_family(run) for run in found)
    lines = ["Not run, or not kept by the ledger, of what `make soak` holds for faults:", ""]
    lines += [f"- {name}: {n - ran[name]} of {n}" for name, n in sorted(wanted.items()) if n > ran[name]]
    remarks = FOLDER / "remarks.md"
    return [*lines, "", *([remarks.read_text("utf-8")] if remarks.exists() else [])]


def _defences(found: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Each defence is missed",
        "These tests are green in a copy of the tree, and with the defence taken away:",
        "",
        "| defence | in | without it |",
        "|---|---|---|",
    ]
    for defence in found:
        tests = [f"{'red' if red else '**GREEN**'}: `{test.split('/')[-1]}`" for test, red in defence["tests"].items()]
        lines.append(
            f"| {defence['name']} | [{defence['file'].split('/')[-1]}](../{defence['file']}) | {'<br>'.join(tests)} |"
        )
    return [*lines, ""]


def _sum(found: list[dict[str, Any]], name: str) -> Any:
    return sum(run.get(name, 0) for run in found)


def _family(run: dict[str, Any]) -> str:
    return re.sub(r"\[.*", "", run["test"]).removeprefix("test_").replace("_", " ")


def main() -> int:
    """Write the document."""
    found, defences = runs(), FOLDER / "defences.json"
    if not found or not defences.exists():
        print("var/soak is empty: run `make soak` and `python -m tests.faults.defences` first", file=sys.stderr)
        return 1
    DOCUMENT.write_text(page(found, orjson.loads(defences.read_bytes())), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
