"""The wire's readers under a coverage-guided fuzzer: no crash, no hang, no growth. Long; hypothesis is the short form."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from adapters.hl7v2.mllp import frame
from tests.faults.test_wire_fuzz import BATCH, LIMIT, WHOLE
from tests.gateway_process import ROOT
from tests.wire_rig import message

SECONDS = int(os.environ.get("FUZZ_SECONDS", "900"))
SEEDS = (*WHOLE, BATCH, b"".join(WHOLE), message("F1"), b"\x0b" + message("F2") + frame(message("F3")))


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is made for Python 3.11 on Linux, x86_64, only"
)
def test_a_guided_fuzzer_finds_neither_crash_nor_hang_nor_growth(tmp_path, ledger):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for n, seed in enumerate(SEEDS):
        (corpus / f"seed-{n}").write_bytes(b"\x10\x40" + seed)
    options = [f"-max_total_time={SECONDS}", f"-max_len={LIMIT * 2}", "-timeout=30", "-rss_limit_mb=1024"]
    command = [sys.executable, "-m", "tests.faults.fuzz_wire", str(corpus), *options, f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr)[-4000:]
    assert done.returncode == 0, told
    assert "Done" in told
    runs = int(told.rpartition("Done ")[2].split()[0])
    ledger.inputs = runs
    assert runs > 1000
