"""A coverage-guided fuzzer on the wire's readers: `python -m tests.faults.fuzz_wire CORPUS [libFuzzer's options]`.

The checks are those of test_wire_fuzz.py; test_wire_atheris.py runs it. Atheris is not there for every Python.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["adapters", "fhir_bridge.feeds", "fhir_bridge.store.journal_frames"]):
    from adapters.hl7v2 import escapes
    from adapters.hl7v2.delimiters import Delimiters
    from tests.faults.test_wire_fuzz import through_framing_and_door, through_the_parser

USUAL = Delimiters("|", "^", "~", "\\", "&")


def one(data: bytes) -> None:
    """Two bytes say in what pieces the rest comes."""
    sizes, rest = [1 + byte for byte in data[:2]], data[2:]
    if sizes:
        through_framing_and_door(rest, sizes)
    through_the_parser(rest)
    text = rest.decode("latin-1")
    escapes.unescape(escapes.escape(text, USUAL), USUAL)
    escapes.unescape(text, USUAL)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
