"""The wire process by itself, on a journal of its own: killed, frozen and started again by tests.

`python -m tests.faults.wire_alone FOLDER PORT [--synchronous OFF] [--checkpoint-pages N]` runs it; `Wire` holds it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def message(control_id: str, patient: int, note: int | None = None) -> bytes:
    """A made-up A08; `note` is the length of its NTE."""
    length = patient * 37 % 1500 if note is None else note
    return (
        f"MSH|^~\\&|EPIC|LGH|FB|LGHPR|20260105120000-0500||ADT^A08^ADT_A01|{control_id}|P|2.5.1\r"
        f"EVN|A08|20260105120000-0500\rPID|1||{patient}^^^LGH^MR||ARBOR^JUNE||19570301|F\r"
        f"PV1|1|I|3W^301^A^LGH\rNTE|1||{'x' * length}\r"
    ).encode()


class Wire:
    """The wire process, which is killed and started again on the same folder and port."""

    def __init__(self, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._command = [sys.executable, "-m", "tests.faults.wire_alone", str(folder), str(self.port), *options]
        self._environment = {**os.environ, **(environment or {})}

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == f"lgh=127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def stop(self) -> None:
        self.process.terminate()
        self.end()
        assert self.process.returncode == 0

    def end(self) -> None:
        self.process.wait(90)
        self.process.stdout.close()


def main() -> None:
    from fhir_bridge.feeds.feed import Feed, MllpAddress
    from fhir_bridge.feeds.wire_process import run_wire
    from fhir_bridge.store import journal_sqlite
    from fhir_bridge.store.journal_socket import JournalServer

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--synchronous", help="instead of FULL: the defence removed")
    parser.add_argument("--checkpoint-pages", type=int, default=journal_sqlite._CHECKPOINT_PAGES)
    options = parser.parse_args()
    prepare = journal_sqlite._prepare

    def prepared(database) -> None:
        prepare(database)
        if options.synchronous:
            database.execute(f"PRAGMA synchronous = {options.synchronous}")
        database.execute(f"PRAGMA wal_autocheckpoint = {options.checkpoint_pages}")

    journal_sqlite._prepare = prepared
    journal = journal_sqlite.SqliteJournal(options.folder / "journal.db")
    run_wire(
        journal,
        JournalServer(journal, options.folder / "journal.sock"),
        [MllpAddress(Feed("lgh"), "127.0.0.1", options.port)],
        clock=lambda: time.time_ns() // 1000,
        ready=lambda text: print(text, flush=True),
    )


if __name__ == "__main__":
    main()
