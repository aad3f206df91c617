"""Storage that fails: nobody is told "stored", nothing is half stored, and the journal goes on when storage does."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import structlog

from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind
from fhir_bridge.store.journal_sqlite import SqliteJournal, SqliteJournalReader

ADMIT = Draft(Kind.HL7V2, "lgh", 1_767_632_400_000_000, 7, "LGH0001", "ADT^A01", b"MSH|^~\\&|LGH\r" + b"x" * 1500)


def numbered(count, start=0):
    return [replace(ADMIT, key=f"LGH{n:04d}") for n in range(start, start + count)]


@contextmanager
def locked(path):
    """Another program holds the database's write lock."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def full(path):
    """The disk takes no byte more: files may not grow beyond the size that the log has now."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name("journal.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("trouble", [locked, full])
def test_while_storage_is_in_trouble_no_append_succeeds_and_afterwards_all_is_whole(tmp_path, trouble):
    journal = SqliteJournal(tmp_path / "journal.db", busy_timeout=0.05)
    for draft in numbered(20):
        journal.append(draft)
    with structlog.testing.capture_logs() as logs:
        with trouble(journal.path):
            failed = [journal.submit(draft) for draft in numbered(20, start=20)]
            for future in failed:
                with pytest.raises(JournalFull, match="cannot store now"):
                    future.result(90)
        retried = [journal.append(draft) for draft in numbered(20, start=20)]
    assert [receipt.original_seq for receipt in retried] == list(range(21, 41))
    reader = SqliteJournalReader(journal.path)
    assert [entry.key for entry in reader.read(0, 100)] == [draft.key for draft in numbered(40)]
    assert reader.counts()["lgh"]["received"] == 40
    reader.close()
    journal.close()
    assert journal.failures >= 1
    assert [line["log_level"] for line in logs if line["event"] == "journal.storage_trouble"] == [
        "error"
    ] * journal.failures
    assert [line["event"] for line in logs][-1] == "journal.recovered"


def test_a_log_of_storage_trouble_holds_no_part_of_a_message(tmp_path):
    journal = SqliteJournal(tmp_path / "journal.db", busy_timeout=0.05)
    with structlog.testing.capture_logs() as logs, locked(journal.path), pytest.raises(JournalFull) as failure:
        journal.append(ADMIT)
    journal.close()
    assert "LGH" not in f"{logs}{failure.value}"


FAILING_SYNC = r"""
import ctypes, errno, pathlib, platform, struct, sys
from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind
from fhir_bridge.store.journal_sqlite import SqliteJournal

journal = SqliteJournal(pathlib.Path(sys.argv[1]))
draft = Draft(Kind.HL7V2, "lgh", 1, 7, "LGH0001", "ADT^A01", b"MSH|")

# A seccomp filter for all threads: fsync and fdatasync answer EIO, everything else is let through.
fsync, fdatasync = {"x86_64": (74, 75), "aarch64": (82, 83)}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 2, 0, fsync), (0x15, 1, 0, fdatasync), (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x50000 | errno.EIO)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
filters = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 38, 1, 1
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
assert libc.syscall(number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, filters) == 0, ctypes.get_errno()

try:
    print("stored", journal.append(draft))
except JournalFull as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="makes syncs fail with a seccomp filter, which only Linux has")
def test_an_append_ends_only_after_the_disk_has_synced_it(tmp_path):
    """With syncs failing an append must fail: one that succeeds (synchronous OFF or NORMAL) never asked for a sync."""
    command = [sys.executable, "-c", FAILING_SYNC, tmp_path / "journal.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the journal cannot store now (SQLITE_IOERR_FSYNC)"


def test_a_log_that_cannot_be_written_ends_nothing():
    """On a full disk the line that tells of it fails as well; the journal's thread must live on to store again."""
    program = "import structlog; from fhir_bridge.wiring.logs import configure_logs; configure_logs(); structlog.get_logger().error('trouble'); print('went on')"
    with open("/dev/full", "w", encoding="ascii") as nowhere:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=nowhere, text=True, timeout=90, check=False
        )
    assert done.stdout == "went on\n"


def test_a_log_whose_stream_is_closed_ends_nothing():
    program = "import structlog, sys; from fhir_bridge.wiring.logs import configure_logs; configure_logs(); sys.stderr.close(); structlog.get_logger().error('trouble'); print('went on')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout == "went on\n"
