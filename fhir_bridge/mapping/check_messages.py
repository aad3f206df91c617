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
    from collections.abc import Mapping

FACTS = {
    "Encounter": (
        "pre-admitted", "admitted", "registered", "class-changed", "transferred", "leave-begun", "leave-ended",
        "discharged", "discharge-cancelled", "visit-cancelled",
    ),
    "Appointment": ("booked", "rescheduled", "arrived", "no-show", "cancelled"),
}  # fmt: skip
"""What a trigger may say of a visit or a booking (FOLD 6)."""


@dataclass(slots=True)
class _Made:
    """A resource while the rows of its message are read: the branches that write into it."""

    row: nodes.SegmentRow
    type: str
    branches: list[plan.Branch] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    """The names that rows know: those of the message, and of their group."""

    made: dict[str, _Made]

    @property
    def types(self) -> dict[str, str]:
        return {name: made.type for name, made in self.made.items()}


class MessageChecker:
    """Checks messages one after the other; a trigger belongs to one of them."""

    def __init__(self, sides: Sides) -> None:
        self._sides, self._maps = sides, sides.built
        self._triggers: dict[str, str] = {}

    def message(self, node: nodes.MessageNode) -> plan.MessagePlan:
        """The plan of one message."""
        scope, every = _Scope({}), list[_Made]()
        drafts: list[tuple[nodes.GroupRow | None, list[tuple[nodes.SegmentRow, _Made | None, plan.SegmentPlan]]]] = []
        for row in node.rows:
            if isinstance(row, nodes.GroupRow):
                inner = _Scope(dict(scope.made))
                drafts.append((row, [self._row(one, inner, every, grouped=True) for one in row.rows]))
            else:
                drafts.append((None, [self._row(row, scope, every, grouped=False)]))
        unsure = {id(made): self._needs(made) for made in every}
        rows: list[plan.SegmentPlan | plan.GroupPlan] = []
        for group, parts in drafts:
            done = tuple(_with_needs(part, unsure.get(id(made), ())) for _, made, part in parts)
            rows += [self._group(group, done)] if group is not None else done
        triggers = tuple(self._trigger(trigger, scope, node) for trigger in node.triggers)
        return plan.MessagePlan(
            node.name, nodes.python_name(node.name), node.at.file, triggers, tuple(rows), tuple(scope.made)
        )

    def _needs(self, made: _Made) -> tuple[tuple[str, ...], ...]:
        check_clashes(made.branches, self._sides.report)
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
            self._sides.wrong(row.using.at, f"using: {row.using}", f"a map {wanted}", wanted, self._maps)
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

    def _group(self, group: nodes.GroupRow, rows: tuple[plan.SegmentPlan, ...]) -> plan.GroupPlan:
        if not rows:
            self._sides.wrong(group.at, "a group without rows", "rows; the first one's segment begins the group")
            return plan.GroupPlan(group.name, "", (), ())
        segments = tuple(dict.fromkeys(row.row.segment.text for row in rows))
        return plan.GroupPlan(group.name, segments[0], segments, rows)

    def _trigger(self, trigger: nodes.Trigger, scope: _Scope, node: nodes.MessageNode) -> plan.TriggerPlan:
        sides = self._sides
        if trigger.name in self._triggers:
            expected = f"one message for a trigger; {self._triggers[trigger.name]} has it too"
            sides.wrong(trigger.at, f"the trigger {trigger.name}", expected)
        self._triggers[trigger.name] = node.name
        for type_name in trigger.complete:
            if not sides.fhir.is_resource(type_name.text):
                sides.wrong(type_name.at, f"complete: {type_name}", "a resource type")
        if not trigger.fact:
            return plan.TriggerPlan(trigger, "", "")
        return self._fact(trigger, scope)

    def _fact(self, trigger: nodes.Trigger, scope: _Scope) -> plan.TriggerPlan:
        sides, known = self._sides, [fact for facts in FACTS.values() for fact in facts]
        kind = next((kind for kind, facts in FACTS.items() if trigger.fact in facts), "")
        if not kind:
            sides.wrong(trigger.at, f"fact: {trigger.fact}", f"one of {', '.join(known)}", trigger.fact, known)
            return plan.TriggerPlan(trigger, "", "")
        subjects = [name for name, made in scope.made.items() if made.type == kind]
        if trigger.of:
            subjects = [name for name in subjects if name == trigger.of]
        if len(subjects) != 1:
            found = f"fact: {trigger.fact} with {len(subjects)} {kind}s to be about"
            sides.wrong(trigger.at, found, f"one {kind} with a name (as), or {{name: {trigger.fact}, of: NAME}}")
            return plan.TriggerPlan(trigger, "", "")
        return plan.TriggerPlan(trigger, subjects[0], scope.made[subjects[0]].row.segment.text)


def _with_needs(part: plan.SegmentPlan, unsure: tuple[tuple[str, ...], ...]) -> plan.SegmentPlan:
    return replace(part, needs=unsure)


def _own_map(row: nodes.SegmentRow, branch: plan.Branch) -> plan.MapPlan:
    ignored = tuple(address for one in row.rows if one.ignore for address in one.source)
    name = f"{row.segment}_{row.at.line}"
    return plan.MapPlan(name, name, row.at.file, row.segment.text, True, True, branch, ignored)
