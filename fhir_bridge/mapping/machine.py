"""Compiled code bound to one thread, one set of delimiters and one feed's settings: message in, Translation out.

What compiled code may call is `runtime`'s; which code runs is `translate`'s choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fhir_bridge.mapping import values
from fhir_bridge.mapping.errors import NotMapped, Untranslatable
from fhir_bridge.mapping.finish import assertions, finish
from fhir_bridge.mapping.runtime import Scope
from fhir_bridge.mapping.trace import Tracer
from fhir_bridge.record.assertion import Fact, Link, Translation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo
    from types import CodeType
    from uuid import UUID

    from fhir_bridge.mapping.compile import Compiled, TriggerSpec
    from fhir_bridge.mapping.definitions import Delimiters, Message, Segment
    from fhir_bridge.mapping.drafts import Draft


@dataclass(frozen=True, slots=True)
class TranslateContext:
    """What the feed says of its messages.

    `zone` gives an offset to times without one. `authority` is the feed's assigning authority (a namespace or a URI)
    for identifiers that name none; `authorities` has others for some resource types, as (type, authority). `envelope`
    asks for what a message says of itself as well: MessageHeader, Provenance, Device.
    """

    namespace: UUID
    zone: tzinfo
    authority: str = ""
    authorities: tuple[tuple[str, str], ...] = ()
    envelope: bool = False

    def authority_of(self, type_name: str) -> str:
        """The system of identifiers of a resource type that name no authority, '' for none."""
        name = dict(self.authorities).get(type_name, self.authority)
        return name if ":" in name else values.authority_uri(name, "", "")


class Machine:
    """Runs one compilation of a set."""

    def __init__(
        self,
        compiled: Compiled,
        code: CodeType,
        triggers: Mapping[str, TriggerSpec],
        delimiters: Delimiters,
        context: TranslateContext,
        authorities: Mapping[str, str],
        *,
        traced: bool,
    ) -> None:
        self._triggers = triggers
        self._component = delimiters.component
        self._envelope = context.envelope
        self._own_system = _system(context, authorities, "")
        self.scope = Scope(
            delimiters, context.namespace, context.zone, partial(_system, context, authorities), authorities
        )
        self.tracer = Tracer(self.scope.trouble, compiled.rows) if traced else None
        self._functions = self._bound(compiled, code)
        self._time = self._functions["as_dateTime"]

    def _bound(self, compiled: Compiled, code: CodeType) -> dict[str, Any]:
        names = dict(self.scope.names)
        names["t"], names["ENVELOPE"] = self.tracer, self._envelope
        later = {name: spec for name, spec in compiled.bindings.items() if spec[0] == "memo"}
        for name, spec in compiled.bindings.items():
            if name not in later:
                names[name] = self.scope.bind(spec, names)
        exec(code, names)  # noqa: S102 - our own compiler's output; literals are bound constants, the cache is checked
        for name, spec in later.items():
            names[name] = self.scope.bind(spec, names)
        return names

    def run(self, message: Message) -> Translation:
        """What a message asserts; `scope.trouble` has what could not be read. Raises NotMapped, Untranslatable."""
        scope, segments = self.scope, self._begin(message)
        code, event = self._event(segments)
        trigger = f"{code}^{event}"
        spec = self._triggers.get(trigger)
        if spec is None:
            raise NotMapped(trigger)
        if spec.ignore:
            raise NotMapped(trigger, spec.ignore)
        self._functions["EVENT"] = event
        if self.tracer is not None:
            self.tracer.envelope()
        names = self._functions[spec.function](message.segments, segments)
        if spec.link or spec.unlink:
            self._belong(spec, names)
        recorded, occurred = self._times(segments)
        kept = finish(scope.made, self._incomplete)
        return Translation(
            trigger=trigger,
            recorded=recorded,
            occurred=occurred,
            assertions=assertions(kept.values()),
            patients=tuple([draft.id for draft in kept.values() if draft.is_patient]),
            facts=self._facts(spec, names, kept),
            links=self._links(kept),
            complete=frozenset(spec.complete),
            warnings=self._warnings(),
        )

    def _begin(self, message: Message) -> dict[str, list[Segment]]:
        scope = self.scope
        scope.made.clear()
        scope.links.clear()
        scope.trouble.clear()
        scope.decode = message.unescape
        segments: dict[str, list[Segment]] = {}
        for segment in message.segments:
            name = segment.name
            if name in segments:
                segments[name].append(segment)
            else:
                segments[name] = [segment]
        return segments

    def alone(self, message: Message, function: str, source: Segment | str, given: Sequence[Draft]) -> Any:
        """What one map makes of a segment of a message, or of a text; `scope.made` has the resources made beside."""
        segments, names = self._begin(message), self._functions
        names["EVENT"] = self._event(segments)[1]
        if isinstance(source, str):
            return names[function]({}, source, self._component, self._own_system)
        return names[function]({}, [], names["padded"](source.fields), segments, *given)

    def _event(self, segments: Mapping[str, list[Segment]]) -> tuple[str, str]:
        """MSH-9.1 and 9.2; EVN-1 where a sender leaves the event out of MSH-9. MSH-9.3 is often wrong: not asked."""
        header = segments["MSH"][0].fields if "MSH" in segments else []
        parts = [part.strip() for part in header[9].split(self._component)] if len(header) > 9 else [""]
        event = parts[1] if len(parts) > 1 else ""
        if not event and "EVN" in segments:
            fields = segments["EVN"][0].fields
            event = fields[1].strip() if len(fields) > 1 else ""
        return parts[0], event

    def _times(self, segments: Mapping[str, list[Segment]]) -> tuple[str | None, str | None]:
        """When it was recorded (EVN-2, else MSH-7), and when it happened (EVN-6); days alone do not count (FOLD 1)."""
        recorded = self._moment(segments, "EVN", 2) or self._moment(segments, "MSH", 7)
        return recorded, self._moment(segments, "EVN", 6)

    def _moment(self, segments: Mapping[str, list[Segment]], name: str, number: int) -> str | None:
        found = segments.get(name)
        fields = found[0].fields if found else []
        if len(fields) <= number or not fields[number]:
            return None
        value: str | None = self._time(fields[number])
        if self.tracer is not None:
            place = (self.tracer.at(fields), number)
            if self.scope.trouble:
                self.tracer.warn(place)
            elif value is not None:
                self.tracer.used(place)
        return value if value is not None and "T" in value else None

    def _facts(
        self, spec: TriggerSpec, names: Mapping[str, list[Draft]], kept: Mapping[str, Draft]
    ) -> tuple[Fact, ...]:
        found: list[Fact] = []
        for name, subject, segment, optional in spec.facts:
            drafts = [draft for draft in names[subject] if draft.id in kept]
            if not drafts and not optional:
                raise Untranslatable("no-subject", segment)
            found += dict.fromkeys(Fact(draft.id, name) for draft in drafts)
        return tuple(found)

    def _belong(self, spec: TriggerSpec, names: Mapping[str, list[Draft]]) -> None:
        """Records that are told to be one person's, without being merged; or no longer to be."""
        for draft in names[spec.link] if spec.link else ():
            draft.resource["link"] = [
                {"other": {"reference": other.ref}, "type": "seealso"}
                for other in names[spec.link]
                if other.id != draft.id
            ]
        for draft in names[spec.unlink] if spec.unlink else ():
            draft.deleted += [f"link|{other.ref}" for other in names[spec.unlink] if other.id != draft.id]

    def _links(self, kept: Mapping[str, Draft]) -> tuple[Link, ...]:
        links = self.scope.links
        return tuple(
            Link(one.id, other.id, one.ref.partition("/")[0])
            for one, other in links
            if one.id in kept and other.id in kept
        )

    def _incomplete(self, draft: Draft) -> None:
        self.scope.trouble.append("incomplete")
        if self.tracer is not None:
            place = self.tracer.at(draft.origin) if draft.origin is not None else -1
            self.tracer.warn((place,))

    def _warnings(self) -> tuple[str, ...]:
        if self.tracer is None:
            return ()
        if self.scope.trouble:
            self.tracer.warn((-1,))
        return tuple(dict.fromkeys(self.tracer.warnings))


def _system(context: TranslateContext, authorities: Mapping[str, str], type_name: str) -> str:
    """The system of identifiers of a resource type that name no authority: the feed's, as overlays name it."""
    name = dict(context.authorities).get(type_name, context.authority)
    return authorities.get(name) or context.authority_of(type_name)
