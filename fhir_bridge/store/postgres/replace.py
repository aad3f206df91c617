"""Puts a state that was folded anew, into a file, in the place of the database's: all of it, or nothing.

One transaction. It holds every lease, so that no worker begins meanwhile; a batch that had begun ends before it; and
each lease gets another token, so that a worker that was frozen commits nothing afterwards. It refuses while a worker
holds a lease. Readers wait for its end.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from fhir_bridge.store.postgres import move, schema
from fhir_bridge.store.postgres.connection import connect

if TYPE_CHECKING:
    from pathlib import Path

_AT_WORK = "SELECT DISTINCT owner FROM lease WHERE owner <> '' AND expires_at > clock_timestamp() ORDER BY owner"


class AtWork(Exception):
    """Workers hold leases; the message names them."""


class NotEqual(Exception):
    """What arrived is not what was sent; nothing was kept."""


def refuse_at_work(url: str) -> None:
    """Raises AtWork while a worker holds a lease."""
    with connect(url, application="fhir-bridge rebuild") as connection:
        _refuse([owner for (owner,) in connection.execute(_AT_WORK).fetchall()])


def replace_state(file: Path, url: str) -> None:
    """Replace the folded tables by those of a state file. Raises AtWork, NotEqual."""
    with (
        closing(move.opened(file)) as folded,
        connect(url, application="fhir-bridge rebuild") as target,
        target.transaction(),
    ):
        target.execute("SELECT 1 FROM lease ORDER BY partition FOR UPDATE")
        _refuse([owner for (owner,) in target.execute(_AT_WORK).fetchall()])
        target.execute("UPDATE lease SET owner = '', token = token + 1, expires_at = '-infinity'")
        target.execute(f"TRUNCATE {', '.join(schema.FOLDED)}".encode())
        move.copy_state(folded, target, iter)
        if differing := move.states_differ(folded, target):
            raise NotEqual(f"nothing is changed: the database keeps otherwise {', '.join(differing)}")


def _refuse(owners: list[str]) -> None:
    if owners:
        raise AtWork(f"stop the gateways first, on every node: {', '.join(owners)} apply entries")
