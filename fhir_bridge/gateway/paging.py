"""Cursors of lists: the sort key of a page's last row, opaque to callers.

A cursor never holds a name or a birth date, since it ends up in URLs: where a list is sorted by them, its key is an id
that the store looks the rest up by.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.gateway.faults import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhir_bridge.gateway.ports import Key, Row

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_SQLITE_INTEGER = range(-(2**63), 2**63)


def encode(key: Key) -> str:
    """A key as a cursor."""
    return urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def decode(cursor: str | None, *types: type | tuple[type, ...]) -> Key | None:
    """A cursor as the key of these types; None without one. Faults 422 where it is not one of ours."""
    if cursor is None:
        return None
    try:
        key = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, list) or len(key) != len(types) or not all(map(_fits, key, types)):
        raise invalid("cursor", "cursor-unknown", "Take the cursor from `next` of the page before.")
    return tuple(key)


def _fits(value: Any, expected: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool) or not isinstance(value, expected):
        return False
    return not isinstance(value, int) or value in _SQLITE_INTEGER


def cut(rows: Sequence[Row], limit: int, key: Callable[[Row], Key]) -> tuple[Sequence[Row], str | None]:
    """A page of limit + 1 fetched rows, and the cursor of the next one (None at the end)."""
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, encode(key(page[-1]))
