"""Keeps compiled sets in a folder, so that a process starts without checking and compiling again.

A file is named by the hash of all that it was made from, holds its own hash, belongs to this user alone (0600), and
is not used when any of that is not so: then the set is compiled anew and the file replaced. What a program means
stays out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from fhir_bridge.mapping.compile import Compiled, Program, TriggerSpec

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST = 64


def read(folder: Path, key: str) -> Program | None:
    """The program kept under a key, None when there is none that can be trusted."""
    content = _trusted(folder / f"{key}.json")
    if content is None or hashlib.sha256(content[_DIGEST:]).hexdigest().encode() != content[:_DIGEST]:
        return None
    try:
        document = orjson.loads(content[_DIGEST:])
        if document.pop("key") != key:
            return None
        triggers = {
            name: TriggerSpec(
                **{**spec, "complete": tuple(spec["complete"]), "facts": tuple(tuple(fact) for fact in spec["facts"])}
            )
            for name, spec in document["triggers"].items()
        }
        plain, traced = Compiled(**document["plain"]), Compiled(**document["traced"])
        return Program(plain, traced, triggers, document["authorities"], document["empty"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def write(folder: Path, key: str, program: Program) -> None:
    """Keep a program. A folder that cannot be written to keeps nothing, and that is no error."""
    body = orjson.dumps({"key": key, **asdict(program)})
    content = hashlib.sha256(body).hexdigest().encode() + body
    target, beside = folder / f"{key}.json", folder / f".{key}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        beside.replace(target)
    except OSError:
        return


def _trusted(path: Path) -> bytes | None:
    """A file's content if it is a plain file that only this user could have written or read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        private = stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077 and status.st_uid == os.geteuid()
        return file.read() if private else None
