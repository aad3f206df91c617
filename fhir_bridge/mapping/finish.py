"""Puts together what a message's resources assert: one for each id, none that lacks a required element.

References to what is left out go too. Works on the drafts that compiled code made, and uses them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_bridge.record.assertion import Assertion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_bridge.mapping.drafts import Draft


def finish(drafts: list[Draft], incomplete: Callable[[Draft], None]) -> dict[str, Draft]:
    """The drafts that stand by id, in the order they were made; `incomplete` hears of those that do not."""
    kept: dict[str, Draft] = {}
    whole = True
    for draft in drafts:
        known = kept.setdefault(draft.id, draft)
        if known is not draft and (not known.kept or known.resource != draft.resource):
            kept[draft.id] = _merged(known.fresh(), draft.fresh())
        if draft.needs and whole:
            whole = not _lacks(draft)
    return kept if whole else _without(kept, incomplete)


def assertions(drafts: Iterable[Draft]) -> list[Assertion]:
    """What finished drafts assert."""
    return [
        Assertion(dict(draft.resource) if draft.kept else draft.resource, draft.key)
        if not (draft.deleted or draft.action)
        else assertion(draft)
        for draft in drafts
    ]


def assertion(draft: Draft) -> Assertion:
    """What a finished draft asserts, with the registers that were deleted and not stated."""
    deleted = tuple(name for name in dict.fromkeys(draft.deleted) if not _states(draft.resource, name))
    return Assertion(draft.resource, draft.key, deleted, draft.action)


def _lacks(draft: Draft) -> bool:
    resource = draft.resource
    for names in draft.needs:
        for name in names:
            if name in resource:
                break
        else:
            return True
    return False


def _without(drafts: dict[str, Draft], incomplete: Callable[[Draft], None]) -> dict[str, Draft]:
    """The drafts without those that lack something, which may make others lack something."""
    kept = {draft.id: draft.fresh() for draft in drafts.values()}
    while dropped := [draft for draft in kept.values() if _lacks(draft)]:
        for draft in dropped:
            incomplete(draft)
            del kept[draft.id]
        gone = {draft.ref for draft in dropped}
        for draft in kept.values():
            _forget(draft.resource, gone)
    return kept


def _merged(into: Draft, other: Draft) -> Draft:
    """Two drafts of one id as one: what the first one says stays, lists get what they have not."""
    _join(into.resource, other.resource)
    into.deleted += other.deleted
    into.needs = into.needs or other.needs
    return into


def _join(into: dict[str, Any], other: dict[str, Any]) -> None:
    for name, value in other.items():
        known = into.get(name)
        if known is None:
            into[name] = value
        elif isinstance(known, list) and isinstance(value, list):
            known += [item for item in value if item not in known]


def _states(resource: dict[str, Any], register: str) -> bool:
    """Whether a resource says something of a register: ``name``, ``period.end``, ``extension|url``."""
    name, _, url = register.partition("|")
    if url:
        members = resource.get(name, [])
        return any(url == item.get("url") or url in _codes(item.get("type")) for item in members)
    parent, _, child = register.partition(".")
    return child in resource.get(parent, {}) if child else name in resource


def _codes(concepts: Any) -> set[str]:
    found = concepts if isinstance(concepts, list) else []
    return {coding.get("code", "") for concept in found for coding in concept.get("coding", [])}


def _forget(value: dict[str, Any], gone: set[str]) -> bool:
    """Takes out references to dropped resources, and list elements that held one. True if `value` held one."""
    held = False
    for name, part in list(value.items()):
        if isinstance(part, dict):
            if part.get("reference") in gone:
                held = True
                _unrefer(value, name, part)
            else:
                held |= _forget(part, gone)
        elif isinstance(part, list) and part and isinstance(part[0], dict):
            kept = [item for item in part if item.get("reference") not in gone and not _forget(item, gone)]
            if len(kept) < len(part):
                value[name] = kept
            if not kept:
                del value[name]
    return held


def _unrefer(value: dict[str, Any], name: str, reference: dict[str, Any]) -> None:
    if "display" in reference:
        value[name] = {"display": reference["display"]}
    else:
        del value[name]
