"""Revision 0001: the tables as they were at first. r0001_begin.sql is never changed once it was released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    connection: Any = op.get_bind().connection.driver_connection
    connection.execute(sql.encode())
