"""Generates `definitions.json` from the models of fhir.resources (R4B): ``python -m adapters.fhir.models``.

It stands apart because it alone imports fhir.resources (and with it pydantic), and only when it runs. What R4B (4.3.0)
added to the types used here is left out, and codes that the models cut short or lack are completed from R4 (4.0.1).
No validation happens here.
"""

from __future__ import annotations

import sys
import typing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from adapters.fhir.definitions import DATA, Definitions, Element, to_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RESOURCES = (
    "Patient Encounter RelatedPerson Practitioner PractitionerRole Organization Location Coverage Condition "
    "AllergyIntolerance Appointment Communication CommunicationRequest Task DocumentReference Provenance Flag Consent "
    "Bundle MessageHeader OperationOutcome AuditEvent Parameters CapabilityStatement Subscription "
    "Account Observation Procedure CareTeam ServiceRequest Specimen Device EpisodeOfCare Basic ChargeItem "
    "DiagnosticReport HealthcareService"
)
RESOURCES = tuple(_RESOURCES.split())

NOT_IN_R4 = frozenset({"CodeableReference", "RatioRange"})
"""Data types that came with R4B; `Extension.value[x]` has variants of them there."""

_ENCOUNTER_STATUS = "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"
_COMPARATOR = "< <= >= >"
COMPLETED = {
    # The models end a long list with '+'.
    "Encounter.status": _ENCOUNTER_STATUS,
    "Encounter.statusHistory.status": _ENCOUNTER_STATUS,
    "Task.status": "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
    "entered-in-error",
    "Observation.status": "registered preliminary final amended corrected cancelled entered-in-error unknown",
    "DiagnosticReport.status": "registered partial preliminary final amended corrected appended cancelled "
    "entered-in-error unknown",
    "Procedure.status": "preparation in-progress not-done on-hold stopped completed entered-in-error unknown",
    "ServiceRequest.intent": "proposal plan directive order original-order reflex-order filler-order instance-order "
    "option",
    "Device.udiCarrier.entryType": "barcode rfid manual card self-reported unknown",
    # The models have none where the code system's page lists symbols, numbers or more than a line's worth.
    "Age.comparator": _COMPARATOR,
    "Count.comparator": _COMPARATOR,
    "Distance.comparator": _COMPARATOR,
    "Duration.comparator": _COMPARATOR,
    "Quantity.comparator": _COMPARATOR,
    "AuditEvent.action": "C R U D E",
    "AuditEvent.agent.network.type": "1 2 3 4 5",
    "AuditEvent.outcome": "0 4 8 12",
    "OperationOutcome.issue.code": "invalid structure required value invariant security login unknown expired "
    "forbidden suppressed processing not-supported duplicate multiple-matches not-found deleted too-long "
    "code-invalid extension too-costly business-rule conflict transient lock-error no-store exception timeout "
    "incomplete throttled informational",
    "Timing.repeat.when": "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS "
    "WAKE C CM CD CV AC ACM ACD ACV PC PCM PCD PCV",
}
"""Codes of required bindings, by path, where the models' `enum_values` are cut short or absent (R4 4.0.1)."""

NOT_BOUND = frozenset({"CapabilityStatement.format", "Expression.language"})
"""Elements whose `enum_values` are examples: any media type goes there."""

_PRIMITIVE_CLASSES = {"bool": "boolean", "EncodedBytes": "base64Binary", "UuidVersion": "uuid"}


class _Reader:
    """Walks the models breadth first and names each type: by its class, or a backbone by the path it is met at."""

    def __init__(self) -> None:
        self._names: dict[type, str] = {}
        self._todo: list[type] = []

    def read(self) -> Definitions:
        from fhir.resources.R4B import get_fhir_model_class  # noqa: PLC0415 - pydantic is loaded only to generate

        for resource in RESOURCES:
            self._name(get_fhir_model_class(resource), resource)
        types: dict[str, Mapping[str, Element]] = {}
        while self._todo:
            model = self._todo.pop(0)
            types[self._names[model]] = MappingProxyType({e.name: e for e in self._elements(model)})
        return Definitions(MappingProxyType(types), frozenset(RESOURCES))

    def _name(self, model: type, name: str) -> str:
        if model not in self._names:
            self._names[model] = name
            self._todo.append(model)
        return self._names[model]

    def _elements(self, model: Any) -> Iterator[Element]:
        by_alias = {field.alias or name: field for name, field in model.model_fields.items()}
        for name in model.elements_sequence():
            field = by_alias[name]
            kind, is_list = _unwrap(field.annotation)
            type_name = self._type(model, name, kind)
            if type_name in NOT_IN_R4:
                continue
            extra = field.json_schema_extra
            path = f"{self._names[model]}.{name}"
            stem = extra.get("one_of_many")
            yield Element(
                name=name,
                type=type_name,
                is_list=is_list,
                is_required=extra.get("element_required") or extra.get("one_of_many_required") or field.is_required(),
                choice=f"{stem}[x]" if stem else None,
                codes=_codes(path, extra.get("enum_values")),
                targets=frozenset(extra.get("enum_reference_types", ())) - {"Resource"}
                if type_name == "Reference"
                else frozenset(),
            )

    def _type(self, owner: type, element: str, kind: Any) -> str:
        if not hasattr(kind, "get_model_klass"):
            return _primitive(kind)
        model = kind.get_model_klass()
        if model.__name__ in NOT_IN_R4 or model.__name__ == "Resource":
            return str(model.__name__)
        is_backbone = model.__module__ == owner.__module__
        return self._name(model, f"{self._names[owner]}.{element}" if is_backbone else model.__name__)


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """The type inside ``List[Annotated[str, Code()] | None] | None`` (here the Code), and whether it is a list."""
    is_list = False
    while True:
        if hasattr(annotation, "__metadata__"):
            return annotation.__metadata__[0], is_list
        arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
        if not arguments:
            return annotation, is_list
        is_list = is_list or typing.get_origin(annotation) is list
        annotation = arguments[0]


def _primitive(kind: Any) -> str:
    """The FHIR name of a primitive: ``bool`` is boolean, an instance or class DateTime is dateTime."""
    name = kind.__name__ if isinstance(kind, type) else type(kind).__name__
    return _PRIMITIVE_CLASSES.get(name) or str(name[0].lower() + name[1:])


def _codes(path: str, listed: list[str] | None) -> frozenset[str] | None:
    if path in COMPLETED:
        return frozenset(COMPLETED[path].split())
    if path in NOT_BOUND:
        return None
    if listed and "+" in listed:
        raise LookupError(f"{path}: the model's code list is cut short; add the codes of R4 to COMPLETED")
    return frozenset(listed) if listed else None


def read() -> Definitions:
    """The definitions of `RESOURCES` and of every type they reach, read from the models (about a second)."""
    return _Reader().read()


def render(definitions: Definitions) -> bytes:
    """The text of `definitions.json`: one line a type, so that a change shows where it is."""
    document = to_document(definitions)
    types = b",\n".join(
        b"%b: %b" % (orjson.dumps(name), orjson.dumps(elements)) for name, elements in document["types"].items()
    )
    return b'{"resources": %b,\n"types": {\n%b\n}}\n' % (orjson.dumps(document["resources"]), types)


if __name__ == "__main__":
    DATA.write_bytes(render(read()))
    sys.stderr.write(f"wrote {DATA}\n")
