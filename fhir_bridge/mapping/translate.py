"""The mapping set: loaded from a folder, checked, compiled, and run over messages.

`MappingSet.translate` is the hot path: it runs the plain compilation, and only when a message held something that could
not be read does it run the traced one, which knows where. Files are read here and nowhere else in the package.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fhir_bridge.mapping import cache as kept
from fhir_bridge.mapping.check import check
from fhir_bridge.mapping.compile import Compiled, Program, compile_plan
from fhir_bridge.mapping.declared import DeclaredHl7
from fhir_bridge.mapping.emptied import Emptied
from fhir_bridge.mapping.errors import CheckFailed, Problem
from fhir_bridge.mapping.load import read_roots, tables
from fhir_bridge.mapping.machine import Machine, TranslateContext
from fhir_bridge.mapping.nodes import python_name
from fhir_bridge.mapping.overlay import concerned, overlaid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import CodeType

    from fhir_bridge.mapping.definitions import FhirDefinitions, Hl7Definitions, Message, Segment
    from fhir_bridge.mapping.drafts import Draft
    from fhir_bridge.mapping.trace import Trace, Tracer
    from fhir_bridge.record.assertion import Translation

PUBLIC_NAMESPACE = UUID("6f1d0c4e-2b7a-5e38-9c55-0d8f3b6a7e21")
"""For translating without an installation. Ids made under it can be guessed from identifiers (FOLD 10)."""

_NAME = re.compile(rb"^(?:map|codes|part): *[\"']?([\w\[\].-]+)", re.MULTILINE)
_MACHINES = 32
"""Delimiters and settings that one thread keeps compiled code bound to."""


class MappingSet:
    """A checked and compiled set. `hash` changes with its files, the definitions, and the compiler."""

    def __init__(self, content_hash: str, program: Program) -> None:
        self.hash = content_hash
        self._program = program
        self._code: dict[bool, CodeType] = {}
        self._local = threading.local()

    @property
    def triggers(self) -> tuple[str, ...]:
        """The triggers that are mapped."""
        return tuple(self._program.triggers)

    def source(self, name: str, *, traced: bool = False) -> str:
        """The Python source of a map or message (``PID[Patient]``), with its constants. Raises KeyError."""
        compiled = self._program.traced if traced else self._program.plain
        text = compiled.source[name]
        used = [known for known in compiled.bindings if re.search(rf"\b{known}\b", text)]
        legend = "".join(f"# {known} = {compiled.bindings[known]!r}\n" for known in used)
        return f"{legend}\n{text}"

    def translate(self, message: Message, context: TranslateContext) -> Translation:
        """What a message asserts. Raises NotMapped or Untranslatable."""
        machine = self._machine(message, context, traced=False)
        translation = machine.run(Emptied(message, self._program.empty) if self._program.empty else message)
        if machine.scope.trouble:
            return self._traced(message, context)[1]  # where the trouble is, only traced code knows
        return translation

    def trace(self, message: Message, context: TranslateContext) -> Trace:
        """The same, with the origin of each element and what became of each component. Raises as `translate` does."""
        tracer, translation = self._traced(message, context)
        return tracer.trace(translation)

    def _traced(self, message: Message, context: TranslateContext) -> tuple[Tracer, Translation]:
        machine = self._machine(message, context, traced=True)
        assert machine.tracer is not None
        filled = Emptied(message, self._program.empty) if self._program.empty else message
        machine.tracer.begin(message, filled)
        return machine.tracer, machine.run(filled)

    def reads_segment(self, name: str) -> bool:
        """Whether a map reads a segment, and no data type. Raises KeyError."""
        return (
            re.search(rf"^def {python_name(name)}\(o, d, f, g", self._program.plain.source[name], re.MULTILINE)
            is not None
        )

    def alone(
        self,
        message: Message,
        context: TranslateContext,
        name: str,
        source: Segment | str,
        given: Mapping[str, Draft],
    ) -> tuple[Any, list[Draft]]:
        """What one map makes of a segment or a text, and the resources made beside; for examples. Raises KeyError."""
        machine = self._machine(message, context, traced=False)
        wanted = re.search(rf"^def {python_name(name)}\((.*)\):", self._program.plain.source[name], re.MULTILINE)
        asked = re.findall(r"\ba_(\w+)", wanted[1]) if wanted else []
        by_name = {python_name(key): draft for key, draft in given.items()}
        made = machine.alone(message, python_name(name), source, [by_name[key] for key in asked])
        return made, list(machine.scope.made)

    def _machine(self, message: Message, context: TranslateContext, *, traced: bool) -> Machine:
        local: dict[Any, Any] = self._local.__dict__
        last = local.get(traced)
        if last is not None and last[0] is context and last[1:3] == (message.delimiters, message.charset):
            machine: Machine = last[3]
            return machine
        machine = self._bound(message, context, local.setdefault("machines", {}), traced=traced)
        local[traced] = (context, message.delimiters, message.charset, machine)
        return machine

    def _bound(
        self, message: Message, context: TranslateContext, machines: dict[Any, Machine], *, traced: bool
    ) -> Machine:
        key = (message.delimiters, message.charset, context, traced)
        machine = machines.get(key)
        if machine is None:
            if len(machines) >= _MACHINES:
                machines.clear()
            compiled, code = self._compiled(traced=traced), self._bytecode(traced=traced)
            program = self._program
            machine = machines[key] = Machine(
                compiled, code, program.triggers, message.delimiters, context, program.authorities, traced=traced
            )
        return machine

    def _compiled(self, *, traced: bool) -> Compiled:
        return self._program.traced if traced else self._program.plain

    def _bytecode(self, *, traced: bool) -> CodeType:
        if traced not in self._code:
            name = f"<mapping {self.hash[:12]}{' traced' if traced else ''}>"
            self._code[traced] = compile(self._compiled(traced=traced).text, name, "exec", dont_inherit=True)
        return self._code[traced]


def load(
    folder: Path, fhir: FhirDefinitions, hl7: Hl7Definitions, cache: Path | None = None, site: str = ""
) -> MappingSet:
    """The mapping set of a folder; from the cache if it was compiled before. Raises CheckFailed with all mistakes."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())
    content = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return load_files(content, fhir, hl7, cache, site)


def load_files(
    files: Mapping[str, bytes], fhir: FhirDefinitions, hl7: Hl7Definitions, cache: Path | None = None, site: str = ""
) -> MappingSet:
    """The mapping set of files given by name, with a site's overlays. Raises CheckFailed with all mistakes."""
    every = concerned(files, site)
    files = {name: every[name] for name in tables(every)}
    key = _key(files, fhir, hl7)
    program = kept.read(cache, key) if cache is not None else None
    if program is None:
        program = _compiled(files, fhir, hl7, site)
        if cache is not None:
            kept.write(cache, key, program)
    return MappingSet(key, program)


def _compiled(files: Mapping[str, bytes], fhir: FhirDefinitions, hl7: Hl7Definitions, site: str) -> Program:
    problems: list[Problem] = []
    documents, declared = overlaid(files, site, hl7, problems)
    with_declared = DeclaredHl7(hl7, declared.segments)
    try:
        the_plan = check(read_roots(documents, problems), problems, fhir, with_declared)
    except CheckFailed as failed:
        raise CheckFailed(_first_causes(failed.problems, files, documents)) from None
    return replace(
        compile_plan(the_plan), authorities=dict(declared.authorities), empty=declared.emptied(with_declared)
    )


def _first_causes(
    problems: Iterable[Problem], files: Mapping[str, bytes], documents: Mapping[str, object]
) -> Iterator[Problem]:
    """Problems without those that only say that a table is missing whose file could not be read."""
    unread = {name.decode() for file in files.keys() - documents.keys() for name in _NAME.findall(files[file])}
    for problem in problems:
        kind, _, name = problem.found.partition(": ")
        if not (kind in {"using", "codes", "include"} and name in unread):
            yield problem


@lru_cache(maxsize=1)
def _compiler() -> bytes:
    """The hash of this package's own source: what another compiler has compiled is never run by this one's runtime."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


def _key(files: Mapping[str, bytes], fhir: FhirDefinitions, hl7: Hl7Definitions) -> str:
    """The hash of all that a set is made from."""
    digest = hashlib.sha256()
    python = ".".join(map(str, sys.version_info[:2]))
    for part in (
        _compiler(),
        python,
        fhir.version,
        hl7.version,
        *(part for name in sorted(files) for part in (name, files[name])),
    ):
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
