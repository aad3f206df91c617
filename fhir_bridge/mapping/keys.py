"""The keys of mapping files: which there are, what each holds, and what it means, in one place.

The loader takes its keys from here, and the JSON Schemas that editors complete and check by (`schema`) are made of the
same tables; so a key cannot be known to one and not to the other. What keys must go together is the loader's.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Shape: TypeAlias = dict[str, Any]
Keys: TypeAlias = dict[str, tuple[Shape, str]]

TEXT: Shape = {"type": ["string", "number", "boolean"]}
FLAG: Shape = {"type": "boolean"}
NULLABLE: Shape = {"type": ["string", "number", "boolean", "null"]}
_ADDRESS: Shape = {
    "type": "string",
    "pattern": r"^([A-Z][A-Z0-9]{2}-\d+(\[\d+\])?(\.\d+){0,2}|[A-Z][A-Z0-9]{1,2}(\.\d+){0,2})$",
}
_TYPE: Shape = {"type": "string", "pattern": "^[A-Z][A-Za-z]+$"}
_NAME: Shape = {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}
_TRIGGER = r"^[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}$"
_PATH: Shape = {"type": "string"}
_NAMES: Shape = {"type": "object", "additionalProperties": {"type": "string"}}
NOTE = (TEXT, "Free text.")


def some(shape: Shape) -> Shape:
    """One of a shape, or a list of them."""
    return {"anyOf": [shape, {"type": "array", "items": shape, "minItems": 1}]}


def many(shape: Shape) -> Shape:
    """A list."""
    return {"type": "array", "items": shape}


def one_of(*words: str) -> Shape:
    """One of some words."""
    return {"enum": list(words)}


def ref(name: str) -> Shape:
    """A shape of its own, by name (see `schema`)."""
    return {"$ref": f"#/$defs/{name}"}


LITERAL = ref("literal")
KEY = ref("key")

ROW: Keys = {
    "from": (some(_ADDRESS), "The source. Of a list the first that is valued."),
    "template": (TEXT, 'Instead of from: "{XTN.6}-{XTN.7}". Writes nothing unless every part is valued.'),
    "value": (LITERAL, "Instead of from: a literal; for an element with parts a mapping."),
    "to": (_PATH, "The FHIR element that it writes: gender, identifier[], participant[attending].individual."),
    "using": (TEXT, "A map for what has parts: CX[Identifier]; or built in: HD[uri], EI[uri]."),
    "codes": (TEXT, "A code table."),
    "when": (TEXT, "A condition: PID-29 NOT VALUED AND PV1-2 IN (I, E)."),
    "default": (LITERAL, "Written where the row wrote nothing. {feed: authority} is the feed's assigning authority."),
    "pick": (one_of("first", "last"), "Which repetition, where a repeating source meets a single element."),
    "plus": (
        {"type": "object", "additionalProperties": _ADDRESS, "minProperties": 1, "maxProperties": 1},
        "Adds to the time that from gives: {minutes: AIS-7}; or hours, seconds.",
    ),
    "join": (TEXT, "With a list in from: all that are valued, with this between them."),
    "make": (_TYPE, "Makes another resource with the map in using, and puts a Reference to it at to."),
    "key": (KEY, "The business key that makes the id of what is made."),
    "display": (some(_ADDRESS), "Texts for the Reference's display, joined by a blank."),
    "fill": (LITERAL, "Beside using: elements that the map did not write."),
    "encoding": (one_of("base64", "hex", "text"), "For base64Binary: what the bytes are written in."),
    "resource": (_NAME, "Instead of from: a Reference to a resource that the message makes."),
    "ignore": (TEXT, "Why this source is not mapped, on purpose. Only from and note stand beside it."),
    "note": NOTE,
}
MAP: Keys = {
    "map": (TEXT, "What it reads and makes: PID[Patient], CX[Identifier], ROL[CareTeam-Nurse]."),
    "uses": (_NAMES, "Resources of the message that the rows refer to: {patient: Patient}."),
    "may_use": (_NAMES, "The same, of which a message may make none."),
    "rows": (many(ref("row")), "The rows, in order."),
    "note": NOTE,
}
CODE: Keys = {
    "code": (TEXT, "The code that it becomes."),
    "display": (TEXT, "What the code means, in words."),
    "system": (TEXT, "The code's system, where it differs from to."),
}
UNMAPPED: Keys = {
    "fixed": (TEXT, "The code for all that the table has not."),
    "prefix": (TEXT, "Stands before a code that the table has not."),
}
_TABLE: Shape = {"type": "object", "additionalProperties": {"anyOf": [TEXT, ref("code")]}}
_CODES: Keys = {
    "from": (TEXT, "The system of the codes that come in."),
    "to": (TEXT, "The system of the codes that they become."),
    "table": (_TABLE, "What comes in: what it becomes; a code, or {code, display, system}."),
    "prefixes": ({"type": "object", "additionalProperties": TEXT}, "Beginnings of codes, and what takes their place."),
    "unmapped": (
        {"anyOf": [one_of("text", "error"), ref("unmapped")]},
        "What becomes of a code that the table has not: text, error, {fixed: …}, {prefix: …}.",
    ),
}
CODES: Keys = {"codes": (TEXT, "The name of the code table."), **_CODES, "note": NOTE}
EXTENSION: Keys = {
    "extend": (TEXT, "The code table of the set below that is extended."),
    **_CODES,
    "table": (
        {"type": "object", "additionalProperties": {"anyOf": [NULLABLE, ref("code")]}},
        "Entries added or changed; null takes one out.",
    ),
    "note": NOTE,
}
IDENTIFIER_KEY: Keys = {
    "identifier": (_ADDRESS, "An address of type CX, XCN, XON or EI, or a plain text."),
    "prefer": (TEXT, "The identifier type of the repetition to take: MR."),
    "else": (KEY, "Another key to try."),
}
FACT: Keys = {
    "name": (TEXT, "What happened: admitted."),
    "of": (_NAME, "The resource that it is about, where there are several."),
    "optional": (FLAG, "Without that resource the message is taken all the same."),
}
TRIGGER: Keys = {
    "fact": (some({"anyOf": [TEXT, ref("fact")]}), "What the trigger says of a visit or a booking."),
    "complete": (many(_TYPE), "Resource types which it carries completely."),
    "link": (_NAME, "Patients that it tells to be one person's records."),
    "unlink": (_NAME, "Patients that it tells to be no longer so."),
    "ignore": (TEXT, "Why such messages are not taken."),
    "note": NOTE,
}
SEGMENT_ROW: Keys = {
    "segment": (TEXT, "Found by its name, in whatever order they came."),
    "as": (_NAME, "A name for what it makes, for the rows below."),
    "each": (FLAG, "Every such segment, not only the first."),
    "make": (_TYPE, "The resource that it makes."),
    "into": (_NAME, "A resource made above, that it writes into."),
    "using": (TEXT, "The map."),
    "key": (KEY, "The business key that makes the resource's id."),
    "set": (_NAMES, "References to resources made above: {subject: patient}."),
    "rows": (many(ref("row")), "More rows, as in a map."),
    "when": (TEXT, "A condition."),
    "required": (FLAG, "Without the segment or the key the message cannot be translated."),
    "envelope": (FLAG, "Only where the message's own head is asked for."),
    "merged_into": (_NAME, "What is made here is retired in favour of that one."),
    "action": (_ADDRESS, "Where valued, the member is a change of a set; D takes it out."),
    "adds": (FLAG, "A member is added to a set; it is no whole set."),
    "mention": (FLAG, "Referred to only: the record takes no more than its number."),
    "ignore": (TEXT, "Why this segment is not mapped, on purpose."),
    "note": NOTE,
}
GROUP: Keys = {
    "group": (TEXT, "A name for the part of the message."),
    "each": (FLAG, "The part repeats."),
    "begins": (some(TEXT), "The segments at which it begins; else its first row's."),
    "rows": (many(ref("message_row")), "The rows of the part."),
    "note": NOTE,
}
INCLUDE: Keys = {"include": (TEXT, "A part, whose rows stand here."), "note": NOTE}
MESSAGE: Keys = {
    "message": (TEXT, "The name of the table: ADT_A01."),
    "triggers": (
        {"type": "object", "patternProperties": {_TRIGGER: ref("trigger")}, "additionalProperties": False},
        "What each trigger says: ADT^A01: {fact: admitted}.",
    ),
    "rows": (many(ref("message_row")), "What each segment makes, in order."),
    "note": NOTE,
}  # fmt: skip
PART: Keys = {
    "part": (TEXT, "A name that messages include it by."),
    "rows": (many(ref("message_row")), "Rows of a message."),
    "note": NOTE,
}
_TELLING = "from to template value resource segment group include make into using as"
ROW_ADDRESS: Keys = {name: (some(TEXT), "As it stands in the row.") for name in _TELLING.split()}
_ROW = {"anyOf": [TEXT, ref("row_address")]}
REMOVAL: Keys = {"row": (_ROW, "The row that is taken out, by its source, or {from: …, to: …}."), "note": NOTE}
CHANGE: Keys = {
    "row": (_ROW, "The row that is changed, by its source, or {from: …, to: …}."),
    "set": ({"type": "object"}, "Keys of the row said anew; null takes one out."),
    "rows": (ref("alterations"), "Changes of the row's own rows."),
    "note": NOTE,
}
ALTERATIONS: Keys = {
    "change": (many(ref("change")), "Rows changed."),
    "remove": (many(ref("removal")), "Rows taken out."),
    "add": (many({"type": "object"}), "Rows added at the end."),
}
ALTERATION: Keys = {
    "alter": (some(TEXT), "The maps or messages that are altered; ADT_* is several."),
    **ALTERATIONS,
    "triggers": ({"type": "object"}, "Triggers said anew."),
    "note": NOTE,
}
FIELD: Keys = {
    "name": (TEXT, "What the field is called."),
    "type": (TEXT, "Its HL7 data type."),
    "repeats": (FLAG, "Whether it repeats."),
}
OVERLAY: Keys = {
    "overlay": (TEXT, "The name of its folder under sites/."),
    "level": (one_of("vendor", "site", "feed"), "What it stands for."),
    "over": (TEXT, "The overlay that it stands on."),
    "zone": (TEXT, "The time zone of times without an offset."),
    "charset": (TEXT, "The character set of messages that name none."),
    "authority": (TEXT, "The assigning authority of identifiers that name none."),
    "clock": (one_of("millisecond", "second", "minute", "hour", "day"), "How precise the sender's clock is."),
    "empty": (
        {"type": "object", "additionalProperties": one_of("deleted", "unchanged")},
        "What an empty field means: PID-13: deleted.",
    ),
    "authorities": (
        {"type": "object", "additionalProperties": TEXT},
        "Systems of assigning authorities: LGH: urn:oid:…",
    ),
    "segments": (
        {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": ref("field")}},
        "Segments of its own, or fields, by number: ZPD: {1: {name: …, type: CWE}}.",
    ),
    "note": NOTE,
}  # fmt: skip
CASE: Keys = {
    "shows": (TEXT, "What the example is about."),
    "trigger": ({"type": "string", "pattern": _TRIGGER}, "Default ADT^A01."),
    "input": (TEXT, "ER7 segments, one a line; for a data type its text."),
    "output": ({}, "What comes out, whole. Left out: nothing."),
    "made": (many({"type": "object"}), "The resources made beside, whole. Left out: not looked at."),
    "note": NOTE,
}
EXAMPLES: Keys = {
    "examples": (TEXT, "The map that they are of."),
    "cases": (many(ref("case")), "The examples."),
    "note": NOTE,
}

# the way back, fhir_to_hl7v2/

OUT_ROW: Keys = {
    "from": (TEXT, "A FHIR path: status, name[0].family, author.resolve(Practitioner)."),
    "value": (TEXT, "Instead of from: a literal."),
    "to": (_ADDRESS, "The field or component that it writes."),
    "using": (TEXT, "A map for what has parts: Identifier[CX]; or built in: uri[HD], dateTime[DTM], lines."),
    "codes": (TEXT, "A code table, from FHIR's codes to HL7's."),
    "when": (TEXT, "Tests of FHIR paths, joined by AND: status EQUALS current AND date VALUED."),
    "default": (TEXT, "Written where from gives nothing."),
    "pick": (one_of("first", "last"), "Which of several values goes into a component."),
    "note": NOTE,
}
OUT_MAP: Keys = {
    "map": (TEXT, "What it reads and writes: DocumentReference[TXA], Identifier[CX]."),
    "rows": (many(ref("out_row")), "The rows, in order."),
    "note": NOTE,
}
OUT_SEGMENT: Keys = {
    "segment": (TEXT, "The segment that it writes."),
    "from": (TEXT, "What it is made of; without it the resource itself."),
    "using": (TEXT, "The map."),
    "each": (FLAG, "One segment for each value of from."),
    "numbers": (some(_ADDRESS), "The fields that number these."),
    "when": (TEXT, "Tests of FHIR paths, joined by AND."),
    "not_for": (some(TEXT), "Triggers that do not have it."),
    "note": NOTE,
}
OUT_TRIGGER: Keys = {
    "structure": (TEXT, "MSH-9.3."),
    "when": (TEXT, "When the resource is this trigger's; the first that holds is taken."),
    "note": NOTE,
}
OUT_MESSAGE: Keys = {
    "send": (TEXT, "The message code."),
    "of": (_TYPE, "The resource type that it is made of."),
    "triggers": (
        {"type": "object", "patternProperties": {_TRIGGER: ref("out_trigger")}, "additionalProperties": False},
        "The triggers, in the order in which they are tried.",
    ),
    "segments": (many(ref("out_segment")), "The segments, in order; MSH and EVN stand before them."),
    "note": NOTE,
}
