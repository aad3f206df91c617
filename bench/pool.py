"""A pool to draw from at random, in constant time however large it is. The mix keeps its patients in such pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

T = TypeVar("T")


class Pool(Generic[T]):
    """Things to draw from at random: `pick` leaves, `take` removes; both in constant time."""

    def __init__(self, rng: random.Random, things: Iterable[T] = ()) -> None:
        self._rng = rng
        self._things = list(things)

    def __len__(self) -> int:
        return len(self._things)

    def add(self, thing: T) -> None:
        """Add one more."""
        self._things.append(thing)

    def pick(self) -> T:
        """Return one of them, which stays."""
        return self._things[int(self._rng.random() * len(self._things))]

    def take(self) -> T:
        """Return one of them, which is gone then."""
        place = int(self._rng.random() * len(self._things))
        self._things[place], self._things[-1] = self._things[-1], self._things[place]
        return self._things.pop()
