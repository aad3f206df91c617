"""The mapping compiler: tables read, checked, compiled to Python, and run over HL7 v2 messages.

docs/mapping-guide.md has the language. The files are the steps: load, check, compile, translate; trace for explaining.
"""

from fhir_bridge.mapping.bundle import bundle
from fhir_bridge.mapping.errors import CheckFailed, MappingError, NotMapped, Position, Problem, Untranslatable
from fhir_bridge.mapping.explaining import Became, became, place_of, wrote
from fhir_bridge.mapping.machine import TranslateContext
from fhir_bridge.mapping.overlay import customs, sites
from fhir_bridge.mapping.trace import Component, Origin, Trace
from fhir_bridge.mapping.translate import PUBLIC_NAMESPACE, MappingSet, load, load_files

__all__ = [
    "PUBLIC_NAMESPACE",
    "Became",
    "CheckFailed",
    "Component",
    "MappingError",
    "MappingSet",
    "NotMapped",
    "Origin",
    "Position",
    "Problem",
    "Trace",
    "TranslateContext",
    "Untranslatable",
    "became",
    "bundle",
    "customs",
    "load",
    "load_files",
    "place_of",
    "sites",
    "wrote",
]
