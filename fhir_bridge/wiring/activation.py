"""How sets come into force: the entries that carry them whole, by configuration or by an engineer's word (FOLD 11).

Each entry names the one before it (`before`), so that the history of a set is a walk and rollback one entry more.
What was put in force by hand stands until another is, or until the configured folder says something new. Nothing that
does not check is ever appended. What sets mean is `sets`' affair.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.mapping.overlay import sites
from fhir_bridge.pipeline.ports import Draft, Kind
from fhir_bridge.pipeline.translate import FeedSettings
from fhir_bridge.source import CheckFailed
from fhir_bridge.wiring.installation import packaged_mappings
from fhir_bridge.wiring.sets import (
    FOLDERS,
    MAPPING,
    RULES,
    SETTINGS,
    load_mapping_files,
    load_rule_files,
    mapping_files,
    read_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fhir_bridge.config import Settings
    from fhir_bridge.pipeline.ports import Instant, JournalReader

    Active = Mapping[str, tuple[str, int]]
    """(hash, seq of its entry) by kind of the sets in force."""

FEED = "activation"
CONFIGURATION, HAND = "configuration", "hand"


@dataclass(frozen=True, slots=True)
class Activation:
    """One entry that put a set in force. `by` is configuration or hand, `before` the entry that it replaced."""

    seq: int
    at: Instant
    hash: str
    by: str
    before: int | None
    files: Mapping[str, str]


def configured(settings: Settings) -> dict[str, dict[str, str]]:
    """The files of each set as it is configured now."""
    folder = settings.mapping_folder or packaged_mappings()
    feeds = {
        name: asdict(
            FeedSettings(
                feed.source,
                feed.zone,
                feed.charset,
                feed.authority,
                feed.site,
                carries_protection=feed.carries_protection,
            )
        )
        for name, feed in settings.feeds.items()
    }
    values = {
        "feeds": feeds,
        "facility": {"zone": settings.facility.zone, "language": settings.facility.language},
        "destination": settings.destinations[0].name if settings.destinations else "",
        "precedence": list(settings.facility.precedence),
        "privacy": {
            "units": dict(settings.sensitive_units),
            "diagnoses": dict(settings.sensitive_diagnoses),
            "minors": dict(settings.consent_ages),
        },
    }
    return {
        MAPPING: mapping_files(settings.mapping_folder),
        RULES: read_folder(folder, FOLDERS[RULES]),
        SETTINGS: {"settings.json": orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()},
    }


def digest_of(files: Mapping[str, str]) -> str:
    """The content hash of a set."""
    return blake2b(orjson.dumps(files, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def activation_drafts(
    settings: Settings, active: Active, now: Instant, journal: JournalReader | None = None
) -> tuple[list[Draft], list[str]]:
    """The entries that put the configured sets in force where others are, and what is wrong with those that cannot be.

    A set that does not check is never stored: the one in force stays (what MAPPING calls an atomic reload).
    """
    drafts: list[Draft] = []
    problems: list[str] = []
    wanted = configured(settings)
    known = active.get(MAPPING)
    if known and journal is not None and _stands(settings, journal, known[1], wanted[MAPPING]):
        entry = journal.entry(known[1])
        assert entry is not None
        wanted[MAPPING] = orjson.loads(entry.body)["files"]
    for kind, files in wanted.items():
        in_force, seq = active.get(kind, ("", None))
        if in_force == digest_of(files):
            continue
        errors = errors_of(kind, files, settings, wanted[MAPPING])
        problems += errors
        if not errors:
            drafts.append(draft(kind, files, now, before=seq, by=CONFIGURATION))
    return drafts, problems


def _stands(settings: Settings, journal: JournalReader, seq: int, files: Mapping[str, str]) -> bool:
    """Whether the set in force was put there by hand, and nothing else was configured since."""
    entry = journal.entry(seq)
    body = orjson.loads(entry.body) if entry is not None else {}
    return body.get("by") == HAND and body.get("instead_of") == _configured_digest(settings, files)


def _configured_digest(settings: Settings, files: Mapping[str, str]) -> str:
    """What stands against a set put in force by hand: the configured folder; not the tables that come along."""
    return digest_of(files) if settings.mapping_folder is not None else ""


def errors_of(kind: str, files: Mapping[str, str], settings: Settings, mapping_tables: Mapping[str, str]) -> list[str]:
    """Everything that is wrong with a set; compiling it here also fills the cache for the worker."""
    cache, used = settings.var / "cache", sorted({feed.site for feed in settings.feeds.values()} | {""})
    errors: list[str] = []
    try:
        if kind == MAPPING:
            for site in used:
                load_mapping_files(files, cache, site)
        elif kind == RULES:
            load_rule_files(files, cache)
        else:
            known = sites(dict.fromkeys(mapping_tables, b""))
            errors += [
                f"settings: no overlay {site} in the mapping tables" for site in used if site not in ("", *known)
            ]
    except CheckFailed as failed:
        return [str(problem) for problem in failed.problems]
    return errors


def draft(
    kind: str, files: Mapping[str, str], now: Instant, *, before: int | None, by: str, instead_of: str = ""
) -> Draft:
    """The entry that puts a set in force, with all of it."""
    digest = digest_of(files)
    body: dict[str, Any] = {"kind": kind, "hash": digest, "files": files, "by": by, "before": before}
    if by == HAND:
        body["instead_of"] = instead_of
    return Draft(Kind.ACTIVATION, FEED, now, 0, f"{kind}:{digest}:{now}", f"activation.{kind}", _dump(body))


def by_hand(settings: Settings, files: Mapping[str, str], active: Active, now: Instant) -> Draft:
    """The entry that puts mapping tables in force by hand; they have been checked."""
    instead_of = _configured_digest(settings, configured(settings)[MAPPING])
    return draft(MAPPING, files, now, before=active.get(MAPPING, ("", None))[1], by=HAND, instead_of=instead_of)


def history(journal: JournalReader, active: Active) -> Iterator[Activation]:
    """The mapping sets that are and were in force, newest first."""
    seq = active.get(MAPPING, ("", None))[1]
    while seq is not None:
        entry = journal.entry(seq)
        if entry is None:
            return
        body = orjson.loads(entry.body)
        seq = body.get("before")
        by = body.get("by", CONFIGURATION)
        yield Activation(entry.seq, entry.received_at, body["hash"], by, seq, body["files"])


def refold_draft(patients: list[str], digest: str, now: Instant) -> Draft:
    """The entry that folds some patients again under the sets in force (FOLD 13)."""
    body = {"kind": "refold", "patients": sorted(patients)}
    key = f"refold:{digest}:{digest_of({'patients': ' '.join(body['patients'])})}:{now}"
    return Draft(Kind.ACTIVATION, FEED, now, 0, key, "activation.refold", _dump(body))


def _dump(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
