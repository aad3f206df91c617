"""Dicts and lists that cannot be changed, so that what is remembered can be given to everyone without a copy.

They are dicts and lists to JSON encoders, validators and comparisons; only changing them is an error. `thaw` and
`copy.deepcopy` give ordinary ones.
"""

from __future__ import annotations

from typing import Any, NoReturn


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__} is shared and cannot be changed; copy.deepcopy gives one that can")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, _memo: object) -> dict[str, Any]:
        copy: dict[str, Any] = thaw(self)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (thaw(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __deepcopy__(self, _memo: object) -> list[Any]:
        copy: list[Any] = thaw(self)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (thaw(self),)


def freeze(value: Any) -> Any:
    """The same JSON, unchangeable; dicts and lists that are given are used up."""
    kind = type(value)
    if kind is dict:
        for name, part in value.items():
            if type(part) in _CHANGEABLE:
                value[name] = freeze(part)
        return FrozenDict(value)
    if kind is list:
        return FrozenList(map(freeze, value))
    return value


def thaw(value: Any) -> Any:
    """The same JSON, changeable."""
    if isinstance(value, dict):
        return {name: thaw(part) for name, part in value.items()}
    return [thaw(part) for part in value] if isinstance(value, list) else value


_CHANGEABLE = frozenset({dict, list})
