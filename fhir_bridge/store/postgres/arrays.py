"""Columns of values as PostgreSQL takes arrays in binary, written in one go.

psycopg adapts a list item by item, which cost a third of an append. Each class here is a list of one type; it stands
apart because it knows the protocol and nothing of what is stored.
"""

from __future__ import annotations

from struct import Struct, pack
from typing import TYPE_CHECKING, Any

from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    import psycopg

_INT8, _BYTEA, _TEXT = 20, 17, 25
_HEAD = Struct("!iiIii")  # dimensions, whether there is a NULL, type, length, first index
_LENGTH = Struct("!i").pack
_NULL = _LENGTH(-1)


class Int8s(list[int]):
    """A bigint[]."""


class Texts(list[str]):
    """A text[]; none holds a NUL."""


class Byteas(list["bytes | None"]):
    """A bytea[]."""


class _Int8sDumper(Dumper):
    format = Format.BINARY
    oid = 1016

    def dump(self, obj: Int8s) -> bytes:
        flat = [part for n in obj for part in (8, n)]
        return _HEAD.pack(1, 0, _INT8, len(obj), 1) + pack("!" + "iq" * len(obj), *flat)


class _TextsDumper(Dumper):
    format = Format.BINARY
    oid = 1009

    def dump(self, obj: Texts) -> bytes:
        return _joined(_TEXT, [text.encode() for text in obj])


class _ByteasDumper(Dumper):
    format = Format.BINARY
    oid = 1001

    def dump(self, obj: Byteas) -> bytes:
        return _joined(_BYTEA, obj)


def register(connection: psycopg.Connection[Any]) -> None:
    """Let a connection take them as values."""
    for column, dumper in ((Int8s, _Int8sDumper), (Texts, _TextsDumper), (Byteas, _ByteasDumper)):
        connection.adapters.register_dumper(column, dumper)


def _joined(oid: int, items: list[bytes] | list[bytes | None]) -> bytes:
    parts = [_HEAD.pack(1, int(None in items), oid, len(items), 1)]
    for item in items:
        parts += (_NULL,) if item is None else (_LENGTH(len(item)), item)
    return b"".join(parts)
