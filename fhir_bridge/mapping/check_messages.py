"""Checks message tables: what each segment makes, keys, references between resources, triggers and their facts.

Rows inside of maps are `check_rows`' work; here maps come together in one resource.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fhir_bridge.mapping import conditions, nodes, plan
from fhir_bridge.mapping.check_clashes import check_clashes
from fhir_bridge.mapping.check_rows import Place, Sides, build, needs, owners_of, resolve_key, writes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FACTS = {
    "Encounter": (
        "pre-admitted", "admitted", "registered", "class-changed", "transferred", "leave-begun", "leave-ended",
        "discharged", "discharge-cancelled", "visit-cancelled", "transfer-cancelled", "leave-cancelled",
        "leave-return-cancelled", "admission-pending", "admission-pending-cancelled", "transfer-pending",
        "transfer-pending-cancelled", "discharge-pending", "discharge-pending-cancelled",
    ),
    "Appointment": ("booked", "rescheduled", "arrived", "no-show", "cancelled", "deleted"),
    "DocumentReference": ("document-filed", "document-replaced", "document-cancelled"),
    "ServiceRequest": ("referred", "referral-cancelled"),
    "Account": ("account-opened", "account-closed", "account-purged"),
}  # fmt: skip
"""What a trigger may say of a visit or a booking (FOLD 6)."""


@dataclass(slots=True)
class _Made:
    """A resource while the rows of its message are read: the branches that write into it."""

    row: nodes.SegmentRow
    type: str
    branches: list[plan.Branch] = field(default_factory=list)


@dataclass(slots=True)
class _Drawn:
    """A row of a message while its resources are not known whole: a segment's, or a group's with its own rows."""

    part: plan.SegmentPlan | None = None
    made: _Made | None = None
    group: nodes.GroupRow | None = None
    rows: list[_Drawn] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    """The names that rows know: those of the message, and of their group."""

    made: dict[str, _Made]

    @property
    def types(self) -> dict[str, str]:
        return {name: made.type for name, made in self.made.items()}


class MessageChecker:
    """Checks messages one after the other; a trigger belongs to one of them."""

    def __init__(self, sides: Sides, parts: Mapping[str, nodes.PartNode]) -> None:
        self._sides, self._maps, self._parts = sides, sides.built, parts
        self._triggers: dict[str, str] = {}

    def message(self, node: nodes.MessageNode) -> plan.MessagePlan:
        """The plan of one message."""
        scope, every = _Scope({}), list[_Made]()
        drafts = self._rows(self._expanded(node.rows, ()), scope, every, grouped=False)
        unsure = {id(made): self._needs(made) for made in every}
        rows = tuple(_settled(draft, unsure) for draft in drafts)
        triggers = tuple(self._trigger(trigger, every, node) for trigger in node.triggers)
        asked = {fact.subject for trigger in triggers for fact in trigger.facts}
        asked |= {name for one in node.triggers for name in (one.link, one.unlink)}
        name = nodes.python_name(node.name)
        return plan.MessagePlan(
            node.name, name, node.at.file, triggers, rows, tuple(scope.made), tuple(sorted(asked - {""}))
        )

    def _expanded(self, rows: Iterable[nodes.MessageRow], inside: tuple[str, ...]) -> list[nodes.MessageRow]:
        """The rows with those of the parts that they include, in place."""
        found: list[nodes.MessageRow] = []
        for row in rows:
            if isinstance(row, nodes.GroupRow):
                found.append(replace(row, rows=tuple(self._expanded(row.rows, inside))))
            elif isinstance(row, nodes.SegmentRow):
                found.append(row)
            elif row.part.text in inside:
                self._sides.wrong(row.part.at, f"include: {row.part}, inside of itself", "parts without a circle")
            elif row.part.text not in self._parts:
                self._sides.wrong(row.part.at, f"include: {row.part}", "the name of a part", row.part.text, self._parts)
            else:
                found += self._expanded(self._parts[row.part.text].rows, (*inside, row.part.text))
        return found

    def _rows(
        self, rows: Iterable[nodes.MessageRow], scope: _Scope, every: list[_Made], *, grouped: bool
    ) -> list[_Drawn]:
        drawn: list[_Drawn] = []
        groups: set[str] = set()
        for row in rows:
            if isinstance(row, nodes.GroupRow):
                inner = _Scope(dict(scope.made)) if row.each else scope
                drawn.append(_Drawn(group=row, rows=self._rows(row.rows, inner, every, grouped=grouped or row.each)))
                self._check_group(row)
                if row.name in groups:
                    self._sides.wrong(row.at, f"the group {row.name} a second time", "another name")
                groups.add(row.name)
            elif isinstance(row, nodes.SegmentRow):
                _, made, part = self._row(row, scope, every, grouped=grouped)
                drawn.append(_Drawn(part=part, made=made))
        return drawn

    def _check_group(self, group: nodes.GroupRow) -> None:
        segments = [row.segment.text for row in group.rows if isinstance(row, nodes.SegmentRow)]
        if not segments or not isinstance(group.rows[0], nodes.SegmentRow):
            self._sides.wrong(group.at, "a group that begins with no segment", "a segment's row first")
        for text in group.begins:
            if text.text not in segments:
                self._sides.wrong(
                    text.at, f"begins: {text}", "segments that the group has a row for", text.text, segments
                )

    def _needs(self, made: _Made) -> tuple[tuple[str, ...], ...]:
        check_clashes(made.branches, self._sides.report, self._sides.apart)
        members = [member for branch in made.branches for member in branch.members]
        return needs(self._sides, made.type, members, made.row.at)

    def _row(
        self, row: nodes.SegmentRow, scope: _Scope, every: list[_Made], *, grouped: bool
    ) -> tuple[nodes.SegmentRow, _Made | None, plan.SegmentPlan]:
        sides = self._sides
        if not sides.hl7.is_segment(row.segment.text):
            sides.wrong(row.segment.at, f"the segment {row.segment}", "a segment of HL7 v2")
        for address in conditions.addresses(row.when.condition) if row.when else []:
            sides.hl7.resolve(address)
        if row.ignore:
            return row, None, plan.SegmentPlan(row, "", "", None, None, (), ())
        made, new = self._made(row, scope), row.make is not None
        if made is None:
            return row, None, plan.SegmentPlan(row, "", "", None, None, (), ())
        if new:
            every.append(made)
            self._check_new(row, made)
        names = dict(scope.types)
        key = resolve_key(sides, row.key, frozenset({row.segment.text}), names)
        using = self._using(row, made)
        given = self._given(row, using, names)
        own = build(sides, Place(row.segment.text, made.type, names), row.rows, nested=False) if row.rows else None
        made.branches += [self._maps[using].branch] if using else []
        made.branches += [own] if own else []
        inside = _own_map(row, own) if own else None
        if row.merged_into is not None:
            self._check_name(row.merged_into, made.type, names)
        if row.action is not None:
            sides.hl7.resolve(row.action)
        if new and row.name is not None:
            self._name(row, made, scope, grouped=grouped)
        used = tuple(sorted(self._referred(own))) if own else ()
        return row, made, plan.SegmentPlan(row, made.type, using, key, inside, used, (), given)

    def _referred(self, own: plan.Branch) -> set[str]:
        """The resources that a message's own rows name, in their keys and through the maps that they use too."""
        found: set[str] = set()
        for write in (write for member in own.members for write in writes_of(member)):
            found |= {write.row.resource.text} if write.row.resource else set()
            found |= {*owners_of(write.key), *(self._maps[write.using].names if write.using in self._maps else ())}
        return found

    def _given(self, row: nodes.SegmentRow, using: str, names: Mapping[str, str]) -> tuple[str, ...]:
        """The resources that a row's map refers to, by their names in this message."""
        given: list[str] = []
        for use in self._maps[using].uses if using else ():
            known = names.get(use.name.text)
            if (known is None and use.sure) or known not in {None, use.type.text}:
                at = row.using.at if row.using else row.at
                found = f"{using} without a {use.type} named {use.name}"
                self._sides.wrong(at, found, "such a resource, made above", use.name.text, names)
            given.append(use.name.text if known else "")
        return tuple(given)

    def _made(self, row: nodes.SegmentRow, scope: _Scope) -> _Made | None:
        if row.make is not None:
            return _Made(row, row.make.text)
        assert row.into is not None
        made = scope.made.get(row.into.text)
        if made is None:
            self._check_name(row.into, "", scope.types)
        return made

    def _check_new(self, row: nodes.SegmentRow, made: _Made) -> None:
        assert row.make is not None
        if not self._sides.fhir.is_resource(made.type):
            self._sides.wrong(row.make.at, f"the type {row.make}", "a resource type")
        if row.using is None and not row.rows:
            self._sides.wrong(row.at, "make without using or rows", "a map, or rows")

    def _using(self, row: nodes.SegmentRow, made: _Made) -> str:
        if row.using is None:
            return ""
        found = self._maps.get(row.using.text)
        if found is None:
            self._sides.wrong(row.using.at, f"using: {row.using}", "the name of a map", row.using.text, self._maps)
            return ""
        target = found.branch.type
        if found.source != row.segment.text or target != made.type:
            wanted = f"{row.segment}[{made.type}]"
            others = [name for name in self._maps if name != row.using.text]
            self._sides.wrong(row.using.at, f"using: {row.using}", f"a map {wanted}", wanted, others)
            return ""
        return found.name

    def _name(self, row: nodes.SegmentRow, made: _Made, scope: _Scope, *, grouped: bool) -> None:
        assert row.name is not None
        if not nodes.is_name(row.name.text):
            self._sides.wrong(row.name.at, f"as: {row.name}", "a name of small letters, digits and -")
        if row.name.text in scope.made:
            self._sides.wrong(row.name.at, f"as: {row.name} a second time", "another name")
        elif row.each and not grouped:
            self._sides.wrong(
                row.name.at, f"as: {row.name} with each: true", "a single resource; a name is one resource"
            )
        scope.made[row.name.text] = made

    def _check_name(self, name: nodes.Text, type_name: str, names: Mapping[str, str]) -> None:
        if name.text not in names:
            self._sides.wrong(name.at, f"the name {name}", "a resource that is made above", name.text, names)
        elif type_name and names[name.text] != type_name:
            self._sides.wrong(
                name.at, f"{name}, which is of type {names[name.text]}", f"a resource of type {type_name}"
            )

    def _trigger(self, trigger: nodes.Trigger, every: list[_Made], node: nodes.MessageNode) -> plan.TriggerPlan:
        sides = self._sides
        if trigger.name in self._triggers:
            expected = f"one message for a trigger; {self._triggers[trigger.name]} has it too"
            sides.wrong(trigger.at, f"the trigger {trigger.name}", expected)
        self._triggers[trigger.name] = node.name
        for type_name in trigger.complete:
            if not sides.fhir.is_resource(type_name.text):
                sides.wrong(type_name.at, f"complete: {type_name}", "a resource type")
        named = {made.row.name.text: made for made in every if made.row.name is not None}
        for name in (trigger.link, trigger.unlink):
            if name and (name not in named or named[name].type != "Patient"):
                sides.wrong(trigger.at, f"{trigger.name} linking {name}", "the name (as) of a Patient", name, named)
        facts = [self._fact(fact, trigger, named) for fact in trigger.facts]
        return plan.TriggerPlan(trigger, tuple(fact for fact in facts if fact is not None))

    def _fact(self, fact: nodes.FactNode, trigger: nodes.Trigger, named: Mapping[str, _Made]) -> plan.FactPlan | None:
        sides, known = self._sides, [name for facts in FACTS.values() for name in facts]
        kind = next((kind for kind, facts in FACTS.items() if fact.name in facts), "")
        if not kind:
            sides.wrong(trigger.at, f"fact: {fact.name}", f"one of {', '.join(known)}", fact.name, known)
            return None
        subjects = [name for name, made in named.items() if made.type == kind]
        if fact.of:
            subjects = [name for name in subjects if name == fact.of]
        if len(subjects) != 1:
            found = f"fact: {fact.name} with {len(subjects)} {kind}s to be about"
            sides.wrong(trigger.at, found, f"one {kind} with a name (as), or {{name: {fact.name}, of: NAME}}")
            return None
        return plan.FactPlan(fact.name, subjects[0], named[subjects[0]].row.segment.text, fact.optional)


def _settled(drawn: _Drawn, unsure: Mapping[int, tuple[tuple[str, ...], ...]]) -> plan.SegmentPlan | plan.GroupPlan:
    """A row's plan, now that it is known what its resource may lack."""
    if drawn.group is None:
        assert drawn.part is not None
        return _with_needs(drawn.part, unsure.get(id(drawn.made), ()))
    rows = tuple(_settled(one, unsure) for one in drawn.rows)
    first = next((row.segment.text for row in drawn.group.rows if isinstance(row, nodes.SegmentRow)), "")
    begins = tuple(text.text for text in drawn.group.begins) or (first,)
    return plan.GroupPlan(drawn.group.name, drawn.group.each, begins, rows)


def _with_needs(part: plan.SegmentPlan, unsure: tuple[tuple[str, ...], ...]) -> plan.SegmentPlan:
    return replace(part, needs=unsure)


def _own_map(row: nodes.SegmentRow, branch: plan.Branch) -> plan.MapPlan:
    ignored = tuple(address for one in row.rows if one.ignore for address in one.source)
    name = nodes.python_name(f"{row.segment}_{row.at.file.removesuffix('.yaml')}_{row.at.line}")
    return plan.MapPlan(name, name, row.at.file, row.segment.text, True, True, branch, ignored)
