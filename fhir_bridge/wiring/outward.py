"""FHIR resources as HL7 v2 messages: the tables of the way back with this project's definitions and escapes.

`send` is what a destination over MLLP and the command line call; it sends nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.fhir.definitions import load as load_definitions
from adapters.hl7v2 import charset
from adapters.hl7v2.definitions import definitions as hl7_definitions
from adapters.hl7v2.delimiters import Delimiters
from adapters.hl7v2.escapes import escape
from fhir_bridge.mapping import outward
from fhir_bridge.mapping.outward_run import CannotSend, Envelope, Sender, Sent
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DELIMITERS = Delimiters("|", "^", "~", "\\", "&")


def load_sender(folder: Path | None = None) -> Sender:
    """The tables of a folder of mappings, or those that come along. Raises CheckFailed."""
    files = read_folder(folder or packaged_mappings(), (outward.FOLDER,))
    content = {name: text.encode() for name, text in files.items()}
    tables = outward.load(content, load_definitions(), hl7_definitions())
    return Sender(tables, lambda text: escape(text, DELIMITERS))


def envelope(control_id: str, at: str, charset_name: str = "UNICODE UTF-8", **said: Any) -> Envelope:
    """What MSH says. Raises CannotSend for a character set that is none."""
    codec = charset.codec_of(charset_name)
    if codec is None:
        raise CannotSend("unknown-charset", "MSH-18")
    return Envelope(control_id, at, charset=charset_name, codec=codec, **said)


def send_all(sender: Sender, document: Mapping[str, Any], at: str) -> Iterator[Sent]:
    """A resource, or those of a Bundle that there are tables for, as messages. Raises CannotSend."""
    entries = document.get("entry", []) if document.get("resourceType") == "Bundle" else [{"resource": document}]
    known: dict[Any, Mapping[str, Any]] = {}
    for entry in entries:
        resource = entry.get("resource", {})
        known[entry.get("fullUrl", "")] = resource
        known[f"{resource.get('resourceType')}/{resource.get('id')}"] = resource
    for number, entry in enumerate(entries, 1):
        resource = entry.get("resource", {})
        if resource.get("resourceType") in sender.types:
            yield sender.send(resource, known.get, envelope(str(resource.get("id", number))[:20], at))
