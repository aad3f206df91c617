"""What the gateway can ask of the mapping tables: what they leave unmapped, and what others would make of messages.

Wiring fills it from the journal and the sets in force; nothing here writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_bridge.pipeline.ports import Instant


class TablesDoNotCheck(Exception):
    """A candidate set has mistakes: `problems` are their lines, with file, line and column."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"{len(problems)} mistakes")
        self.problems = tuple(problems)


class NotTranslated(Exception):
    """A message cannot be translated: a code, and a place in it. Never a value."""

    def __init__(self, code: str, location: str) -> None:
        super().__init__(code)
        self.code, self.location = code, location


class Mappings(Protocol):
    """The mapping desk."""

    def unmapped(self, feed: str | None, since: Instant, until: Instant, sample: int) -> Mapping[str, Any]:
        """Places that messages fill and no row reads, by feed and day, from a sample of the stored messages."""
        ...

    def translate(self, message: bytes, site: str) -> Mapping[str, Any]:
        """A message by the tables in force: `bundle`, `trace`, `report`. Raises NotTranslated, TablesDoNotCheck."""
        ...

    def compare(self, files: Mapping[str, str], last: int) -> Mapping[str, Any]:
        """What a candidate would change of the last stored messages. Raises TablesDoNotCheck."""
        ...


class NoMappings:
    """For applications without tables."""

    def unmapped(self, feed: str | None, since: Instant, until: Instant, sample: int) -> Mapping[str, Any]:  # noqa: ARG002 - there is nothing to look at
        """Nothing."""
        return {"sampled": 0, "feeds": [], "items": []}

    def translate(self, message: bytes, site: str) -> Mapping[str, Any]:  # noqa: ARG002 - see above
        """Nothing is mapped."""
        raise NotTranslated("not-mapped", "MSH-9")

    def compare(self, files: Mapping[str, str], last: int) -> Mapping[str, Any]:  # noqa: ARG002 - see above
        """Nothing differs."""
        return {"messages": 0, "differing": 0, "elements": []}
