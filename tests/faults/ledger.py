"""What a test under faults counted. A long form (soak) leaves it in var/soak, from where report.py makes the document.

Counts are written before they are judged, so that a failure stands in the report as well.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

FOLDER = Path(__file__).resolve().parents[2] / "var" / "soak"


@dataclass
class Ledger:
    """Counts of one test. `lost`: acknowledged and without an outcome. `doubled`: with more than one."""

    test: str
    faults: Counter[str] = field(default_factory=Counter)
    inputs: int = 0
    """What a fuzzer tried."""
    sent: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    write_backs: int = 0
    written_twice: int = 0
    unsure: int = 0
    rebuilds: int = 0
    rebuilds_differ: int = 0
    seconds: float = 0.0
    passed: bool = False
    ended: str = ""

    def write(self, folder: Path = FOLDER) -> None:
        """Leave the counts for the report."""
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(c if c.isalnum() else "-" for c in self.test).strip("-")
        self.ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        (folder / f"{name}.json").write_bytes(
            orjson.dumps(
                {**asdict(self), "faults": dict(self.faults)}, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
            )
            + b"\n"
        )

    def judge(self) -> None:
        """Fail where anything was lost or doubled."""
        assert self.lost == 0, "acknowledged and without an outcome"
        assert self.doubled == 0, "with more than one outcome"
        assert self.written_twice == 0, "write-backs that arrived twice"
        assert self.rebuilds_differ == 0, "a rebuild that ended in another state"
