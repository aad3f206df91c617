"""Takes each defence away, in a copy of the tree, and sees which named tests go red: `python -m tests.faults.defences`.

Each test is first seen green on the untouched copy: a red one that was red before, or that only ran out of time on a
busy machine, would say nothing. The outcome stands in var/soak/defences.json, from where report.py takes it. A defence whose tests stay green would be
one that nobody would miss.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from tests.faults.ledger import FOLDER

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", ".*_cache", "__pycache__", ".hypothesis", ".bench-*")


@dataclass(frozen=True, slots=True)
class Defence:
    """What is taken away: in `file`, `code` becomes `without`. Each of `tests` must fail then."""

    name: str
    file: str
    code: str
    without: str
    tests: tuple[str, ...]


_COMMIT = """        if len(drafts) > _ROWS_A_STATEMENT:
            database.execute("BEGIN IMMEDIATE")
        _insert_rows(database, values)  # a single statement is a transaction of its own
        if database.in_transaction:
            database.execute("COMMIT")
"""
_LATE_COMMIT = """        if database.in_transaction:
            database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
        _insert_rows(database, values)
"""
_MOVES = """        self._db.executemany(
            "INSERT INTO cursor VALUES"""

DEFENCES = (
    Defence(
        "commits are synced (`synchronous = FULL`)",
        "fhir_bridge/store/journal_sqlite.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
        (
            "tests/faults/test_power_cut.py::test_what_was_acknowledged_survives_a_power_cut_at_any_moment",
            "tests/faults/test_journal_storage.py::test_an_append_ends_only_after_the_disk_has_synced_it",
        ),
    ),
    Defence(
        "the ACK leaves after the commit",
        "fhir_bridge/store/journal_group.py",
        _COMMIT,
        _LATE_COMMIT,
        (
            "tests/faults/test_power_cut.py::test_what_was_acknowledged_survives_a_power_cut_at_any_moment",
            "tests/faults/test_journal_kill.py::test_every_acknowledged_message_is_in_the_journal_exactly_once",
        ),
    ),
    Defence(
        "the journal knows a repeat",
        "fhir_bridge/store/journal_group.py",
        "if original is None and identity in seen:",
        "if original is None and identity in ():",
        (
            "tests/faults/test_socket_cut.py::test_an_answer_that_is_cut_at_any_byte_comes_again_the_same",
            "tests/faults/test_journal_kill.py::test_every_acknowledged_message_is_in_the_journal_exactly_once",
        ),
    ),
    Defence(
        "the cursor moves in the transaction of its effects",
        "fhir_bridge/store/state.py",
        _MOVES,
        '        self._db.execute("COMMIT")\n        self._db.execute("BEGIN IMMEDIATE")\n' + _MOVES,
        (
            "tests/unit/pipeline/test_worker.py::test_a_worker_killed_before_any_of_its_statements_goes_on_to_the_same_state",
        ),
    ),
    Defence(
        "an attempt is in the journal before the first byte leaves",
        "fhir_bridge/pipeline/write_back.py",
        "elif self._attempt(delivery):",
        "elif delivery.id:",
        ("tests/faults/test_ehr_faults.py::test_a_gateway_killed_while_the_ehr_hangs_sends_nothing_again",),
    ),
    Defence(
        "an attempt that the journal knows is not sent",
        "fhir_bridge/pipeline/write_back.py",
        "if receipt.duplicate or receipt.conflicting:",
        "if receipt is None:",
        ("tests/unit/pipeline/test_write_back.py",),
    ),
    Defence(
        "a redirect is not followed",
        "adapters/fhir/client.py",
        "allow_redirects=False",
        "allow_redirects=True",
        ("tests/faults/test_ehr_rubbish.py::test_a_redirect_elsewhere_is_not_followed",),
    ),
    Defence(
        "nothing is acknowledged from a file that is gone",
        "fhir_bridge/store/journal_sqlite.py",
        "        self._see_in_place(self._files)\n",
        "",
        (
            "tests/faults/test_gateway_faults.py::test_nothing_is_acknowledged_while_the_journals_file_is_gone",
            "tests/faults/test_gateway_faults.py::test_what_is_acknowledged_after_the_journals_log_was_removed_is_stored",
        ),
    ),
    Defence(
        "a state that is ahead of its journal stops the start",
        "fhir_bridge/wiring/processes.py",
        "raise StateAhead(_ahead(applied, head))",
        "pass",
        (
            "tests/faults/test_gateway_faults.py::test_a_journal_older_than_its_state_is_refused_and_a_lost_state_is_folded_again",
        ),
    ),
    Defence(
        "the installation's namespace is synced with its folder",
        "fhir_bridge/wiring/installation.py",
        "        _sync_names(var)\n",
        "",
        ("tests/faults/test_power_cut.py::test_an_installations_namespace_is_on_disk_before_ids_are_made_with_it",),
    ),
    Defence(
        "on PostgreSQL an append is synced whatever the server's default",
        "fhir_bridge/store/postgres/journal.py",
        '"SET synchronous_commit = on",',
        '"SET lock_timeout = 0",',
        ("tests/faults/test_postgres_faults.py::test_an_append_is_synced_although_a_setting_says_that_it_need_not_be",),
    ),
    Defence(
        "a database that does not sync is refused",
        "fhir_bridge/store/postgres/schema.py",
        "        _refuse_forgetful(connection)\n",
        "",
        ("tests/faults/test_postgres_faults.py::test_a_database_that_does_not_sync_is_refused_at_the_start",),
    ),
    Defence(
        "on PostgreSQL partitions and keys are locked before numbers are taken",
        "fhir_bridge/store/postgres/journal_group.py",
        "        connection.execute(_LOCK, _locks(drafts, prints))\n",
        "",
        (
            "tests/engines/test_several_nodes.py::test_entries_of_one_partition_become_visible_in_the_order_of_their_numbers",
            "tests/engines/test_several_nodes.py::test_what_concerns_everyone_waits_for_all_who_append",
        ),
    ),
    Defence(
        "on PostgreSQL a commit of which nothing is heard is looked for, not made again",
        "fhir_bridge/store/postgres/journal_group.py",
        "if original is None and stored.seq is not None",
        "if original is None and stored.seq is None",
        (
            "tests/faults/test_postgres_faults.py::test_a_commit_of_which_nothing_is_heard_is_told_as_trouble_and_its_repeat_is_known",
        ),
    ),
    Defence(
        "a worker commits only under the lease that its batch was begun with",
        "fhir_bridge/store/postgres/state_shared.py",
        "            raise LeaseLost\n",
        "            return\n",
        (
            "tests/engines/test_several_workers.py::test_a_worker_that_was_frozen_past_its_lease_commits_nothing_when_it_goes_on",
        ),
    ),
    Defence(
        "a worker's connection is made anew between batches too",
        "fhir_bridge/store/postgres/state.py",
        "        self._reconnect()  # asked outside",
        "        # asked outside",
        (
            "tests/faults/test_postgres_faults.py::test_what_a_worker_reads_between_batches_is_read_anew_after_its_connection_broke",
        ),
    ),
    Defence(
        "the policy is asked before a patient is shown",
        "fhir_bridge/gateway/reading.py",
        "    if not found.decision.allowed:\n        raise not_found(what)\n",
        "",
        ("tests/unit/gateway/test_privacy.py::test_what_one_may_not_see_is_404_like_what_is_not_there_and_audited",),
    ),
    Defence(
        "an answer waits for its line in the audit trail",
        "fhir_bridge/web.py",
        "            trail.settle()\n",
        "            pass\n",
        ("tests/unit/api/test_patients.py::test_the_answer_waits_for_the_audit_trail",),
    ),
    Defence(
        "a body is whole in time before a thread takes it",
        "adapters/porch.py",
        "async with asyncio.timeout(self._limits.body_seconds):",
        "async with asyncio.timeout(None):",
        ("tests/unit/adapters/test_porch.py::test_a_body_that_takes_too_long_is_408_and_never_comes_to_a_thread",),
    ),
    Defence(
        "health has threads of its own",
        "adapters/porch.py",
        "self._reserved_threads if reserved else self._threads",
        "self._threads",
        (
            "tests/unit/adapters/test_porch.py::test_health_is_told_while_every_thread_is_busy_and_what_waits_is_bounded",
        ),
    ),
    Defence(
        "a log line that cannot be written is let go",
        "fhir_bridge/wiring/logs.py",
        'cast("TextIO", _Forgiving(sys.stderr))',
        "sys.stderr",
        ("tests/faults/test_journal_storage.py::test_a_log_that_cannot_be_written_ends_nothing",),
    ),
    Defence(
        "what is held is asked again when the clock was set back",
        "fhir_bridge/pipeline/write_back.py",
        "return now < moment <= now + longest",
        "return now < moment",
        (
            "tests/unit/pipeline/test_write_back.py::test_a_held_delivery_is_asked_again_although_the_clock_was_set_back",
        ),
    ),
)


def tried(defence: Defence, tree: Path) -> dict[str, object]:
    """Take it away, run its tests, put it back."""
    assert not any(_is_red(test, tree) for test in defence.tests), f"{defence.name}: red although nothing is taken away"
    file = tree / defence.file
    whole = file.read_text("utf-8")
    assert whole.count(defence.code) == 1, f"{defence.name}: its code is not where it was"
    file.write_text(whole.replace(defence.code, defence.without), "utf-8")
    try:
        red = {test: _is_red(test, tree) for test in defence.tests}
    finally:
        file.write_text(whole, "utf-8")
    return {"name": defence.name, "file": defence.file, "tests": red}


def _is_red(test: str, tree: Path) -> bool:
    """Whether a test fails (pytest's exit code 1), which is not whether it could not be run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout", "300", test]
    ran = subprocess.run(
        command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    assert "Timeout" not in ran.stdout + ran.stderr, f"{test} ran out of time, which proves nothing"
    return ran.returncode == 1


def main() -> int:
    """Try all; 1 when one of them is not missed."""
    outcomes = []
    with TemporaryDirectory(prefix="fhir-bridge-defences-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        for defence in DEFENCES:
            outcomes.append(tried(defence, tree))
            red = all(outcomes[-1]["tests"].values())
            print(f"{'red  ' if red else 'GREEN'} without: {defence.name}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "defences.json").write_bytes(orjson.dumps(outcomes, option=orjson.OPT_INDENT_2) + b"\n")
    return 0 if all(all(outcome["tests"].values()) for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
