"""send: HL7 v2 files over MLLP, with a progress bar on a terminal, and what was answered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.progress import track

from adapters.hl7v2 import batch, er7
from adapters.hl7v2.ack import Verdict, answer_code
from adapters.hl7v2.errors import Er7Error, Hl7Error, UnansweredError
from adapters.hl7v2.sender import Sender
from fhir_bridge.cli.exits import FAILED, GOOD, CommandFailed, WrongCall

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


SENT = "sent"
"""In place of a code: sent, and no answer was to be expected."""


def send(arguments: argparse.Namespace) -> int:
    """Send each message after the last one's answer; 1 where one was not accepted."""
    raws = [raw for name in arguments.files for raw in messages(name)]
    console = Console(stderr=True)
    accepted = 0
    with Sender(arguments.host, arguments.port, timeout=arguments.timeout) as sender:
        for raw in track(raws, "sending", console=console, disable=not console.is_terminal, transient=True):
            control_id, code, problem = _one(sender, raw)
            accepted += code in ("AA", "CA", SENT)
            if arguments.json:
                print(orjson.dumps({"control_id": control_id, "code": code, "problem": problem}).decode())
            else:
                print(f"{control_id or '-'}\t{code or '-'}\t{problem}".rstrip())
    print(f"{accepted} of {len(raws)} accepted", file=sys.stderr)
    return GOOD if accepted == len(raws) else FAILED


def _one(sender: Sender, raw: bytes) -> tuple[str, str, str]:
    """(control id, acknowledgement code, what was wrong)."""
    try:
        control_id = er7.peek(raw).control_id
    except Er7Error:
        control_id = ""
    try:
        answer = er7.parse(sender.send(raw))
    except UnansweredError as error:
        if _wants_no_answer(raw):
            return control_id, SENT, "the message asks for no answer (MSH-15, MSH-16)"
        return control_id, "", str(error)
    except Hl7Error as error:
        return control_id, "", str(error)
    msa, err = answer.first("MSA"), answer.first("ERR")
    problem = " ".join(part for part in (err.fields[2:5] if err else []) if part)
    return control_id, msa.fields[1] if msa else "", problem


def _wants_no_answer(raw: bytes) -> bool:
    try:
        return not answer_code(er7.peek(raw), Verdict.ACCEPTED)
    except Er7Error:
        return False


def messages(name: str) -> Iterator[bytes]:
    """The messages of a file: one, an MLLP capture, a batch, or several one after the other."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise WrongCall(f"{name}: {error.strerror}") from error
    if not raw.strip():
        raise WrongCall(f"{name}: is empty")
    found = batch.split(raw.replace(b"\x0b", b"").replace(b"\x1c", b""))
    if not found:
        raise CommandFailed(f"{name}: holds no HL7 v2 message")
    yield from found
