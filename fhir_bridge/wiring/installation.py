"""What makes one installation itself: its var folder, and the secret namespace in which its ids are made (FOLD 10).

The namespace is kept with the installation's backups: without it nobody can guess a patient's id from a record number,
and a rebuild elsewhere would make other ids.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

_NAMESPACE = "namespace"


def namespace(var: Path) -> uuid.UUID:
    """The installation's namespace, made once (mode 0600)."""
    file = var / _NAMESPACE
    if not file.exists():
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = var / f".{_NAMESPACE}.{os.getpid()}"
        with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:  # noqa: PTH123 - to open it 0600
            out.write(str(uuid.uuid4()))  # noqa: TID251 - the one random thing of an installation
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(fresh, file)  # the first process wins, all read what it wrote
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        _sync_names(var)
    return uuid.UUID(file.read_text(encoding="ascii").strip())


def _sync_names(folder: Path) -> None:
    """A new name is on the disk once its folder is; ids that a power cut makes us forget would be made differently."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def packaged_mappings() -> Path:
    """The mapping sets that come with fhir-bridge: in a checkout beside the package, in a wheel inside it."""
    package = Path(__file__).parents[1]
    inside = package / "_mappings"
    return inside if inside.is_dir() else package.parent / "mappings"
