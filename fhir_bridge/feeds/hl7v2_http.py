"""POST /hl7v2: one HL7 v2 message as the body, its acknowledgement as the answer.

What a message means and how it is answered is the door's (hl7v2_door.py), the same as for MLLP; here is only HTTP. The
content type is not looked at, since senders set what they like: the bytes say what they are.
"""

from __future__ import annotations

import sys
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from fhir_bridge.gateway.rights import caller, ports

blueprint = APIBlueprint("hl7v2", __name__, tag="HL7 v2")

ER7 = "x-application/hl7-v2+er7"
FEED = "http"
"""The feed of callers that are none themselves."""

_ACK: dict[str, Any] = {"content": {ER7: {"schema": {"type": "string"}}}}
_ANSWERS: Any = {
    200: {"description": "Stored: AA or CA, or nothing where the sender wants nothing.", **_ACK},
    400: {"description": "Refused for good: AR or CR with ERR. The bytes are kept.", **_ACK},
    413: {"description": "Larger than the feed takes: AR or CR with ERR.", **_ACK},
    503: {"description": "Not stored now, send it again: AE or CE.", **_ACK},
}


@blueprint.post("/hl7v2")
@blueprint.doc(summary="Send an HL7 v2 message.", responses=_ANSWERS)
def receive() -> Response:
    """Store one message; a positive acknowledgement leaves only after the commit (I1)."""
    # The limit is the feed's, not the application's: one byte beyond is enough for the door to refuse, with an ACK.
    request.max_content_length = sys.maxsize
    raw = request.stream.read(ports().settings.largest_message + 1)
    status, ack = ports().receive_hl7v2(raw, caller().feed or FEED)
    response = Response(ack, status, content_type=ER7)
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response
