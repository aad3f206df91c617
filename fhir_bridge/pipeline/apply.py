"""One entry of the journal becomes state: the fold's single step (FOLD 1), by the kind of the entry.

A pure, deterministic function of (state, entry, sets in force): time is the entry's, ids are made from business keys,
and what must go out becomes a row. Batches, transactions and cursors are the worker's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from fhir_bridge.pipeline import commands, deliveries, minors, oblige, refold, translate
from fhir_bridge.pipeline.directory import Directory
from fhir_bridge.pipeline.errors import Ignored, Poison, Refused
from fhir_bridge.pipeline.foresee import Named
from fhir_bridge.pipeline.ports import Entry, Kind, Outcome
from fhir_bridge.pipeline.reconcile import Frame, Touched, reconcile
from fhir_bridge.pipeline.state import Ended
from fhir_bridge.record.clocks import stamp
from fhir_bridge.record.identity import MergeCycle
from fhir_bridge.tasks.rules import RuleFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fhir_bridge.pipeline.ports import JournalReader, Validate
    from fhir_bridge.pipeline.state import State
    from fhir_bridge.pipeline.translate import Sets, SetsInForce
    from fhir_bridge.record.assertion import Translation
    from fhir_bridge.record.merge import Doc

GATEWAY = "gateway"
"""The source of what was said to this installation itself, by its people."""


SWEEP, SWEPT = "sweep", 50
"""The timer by which everybody is judged again after rules or settings came into force, and how many at a time."""

SENDERS_ID = "urn:fhir-bridge:id-of:"
"""identifier.system, with a source behind it, of the ids that a sender of FHIR has for its resources."""


class Fold:
    """Applies entries to a state. `journal` is only read for entries that a retry cites.

    `about` is the patient of the entry under way, once it is known. `alone` says that nobody else writes this state
    meanwhile, so that what was written last may be remembered.
    """

    def __init__(
        self, state: State, journal: JournalReader, sets: SetsInForce, validate: Validate, *, alone: bool = True
    ) -> None:
        self.state, self.journal, self.sets, self.validate = state, journal, sets, validate
        self._directory = Directory(Directory.LIMIT if alone else 0)
        self._ahead: dict[int, Translation] = {}
        self.about: str | None = None
        self._kinds: dict[Kind, Callable[[Entry, Frame], Ended]] = {
            Kind.HL7V2: self._hl7v2,
            Kind.FHIR: self._fhir,
            Kind.COMMAND: self._command,
            Kind.TIMER: self._timer,
            Kind.ATTEMPT: lambda entry, frame: deliveries.attempt(frame, orjson.loads(entry.body)),
            Kind.ANSWER: lambda entry, frame: deliveries.answer(frame, orjson.loads(entry.body)),
            Kind.RETRY: self._retry,
            Kind.ACTIVATION: self._refold,
        }

    def apply(self, entry: Entry, now: int) -> Ended:
        """Apply one entry; how it ended. What it raises, the worker undoes: Ignored, Refused, Poison, anything else."""
        if entry.kind is Kind.ACTIVATION and entry.type != refold.TYPE:
            kind, digest = self.sets.activate(entry.body)
            self.state.activate(kind, digest, entry.seq)
            if kind != "mapping":
                self.state.put_timer(SWEEP, entry.received_at, entry.partition, "sweep", "")
            return Ended(Outcome.APPLIED)
        self.about = None
        if entry.conflicting and entry.kind in (Kind.COMMAND, Kind.FHIR):
            raise Refused(422, "idempotency-key-reused", "This key came before with another request", "Idempotency-Key")
        frame = Frame(
            state=self.state,
            seq=entry.seq,
            partition=entry.partition,
            received_at=entry.received_at,
            now=now,
            source=GATEWAY,
            stamp=stamp(None, entry.received_at, entry.seq),
            precedence=self._sets.precedence,
            directory=self._directory,
        )
        return self._kinds[entry.kind](entry, frame)

    def foresee(self, entries: Sequence[Entry]) -> Named:
        """What these entries are going to look at; they are translated ahead, and applied next."""
        named, known, self._ahead = Named(), self._ahead, {}
        for entry in entries:
            if entry.duplicate_of or entry.refused:
                continue
            named.received.setdefault(entry.partition, entry.received_at)
            if entry.kind is not Kind.HL7V2:
                named.entry(entry)
                continue
            with suppress(Exception):  # its own fault, found out again when it is applied
                translation = known.get(entry.seq) or translate.hl7v2(entry, self._sets)
                self._ahead[entry.seq] = translation
                named.translation(translation)
        return named

    def keep(self) -> None:
        """The entry under way is applied."""
        self._directory.keep()

    def undo(self) -> None:
        """The entry under way is not applied, or not yet."""
        self._directory.undo()

    def finish(self) -> None:
        """Write what the batch as a whole said, before it is committed."""
        self._directory.write(self.state)

    def forget(self) -> None:
        """The batch is undone."""
        self._ahead.clear()
        self._directory.forget()

    @property
    def digest(self) -> str:
        """Hashes of the sets in force."""
        return self.sets.current.digest if self.sets.current else ""

    @property
    def _sets(self) -> Sets:
        if self.sets.current is None:
            raise Poison("no-sets-in-force")
        return self.sets.current

    def _hl7v2(self, entry: Entry, frame: Frame) -> Ended:
        translation = self._ahead.pop(entry.seq, None) or translate.hl7v2(entry, self._sets)
        echo = _own_document(translation)
        return deliveries.echo(frame, *echo) if echo else self._assert(entry, frame, translation)

    def _assert(self, entry: Entry, frame: Frame, translation: Translation) -> Ended:
        """Steps 3 and 4 for what an entry asserts."""
        patient = self.about = translate.patient_or_poison(translation)
        feed = self._sets.feed(entry.feed)
        frame.source = feed.source
        frame.stamp = stamp(translation.recorded, entry.received_at, entry.seq, feed.precision)
        frame.occurred = translation.occurred
        try:
            reconcile(frame, translation)
            minors.review(frame, self._sets.consent_ages, self._sets.zone)
            if frame.touched.changed or frame.touched.relinked:
                oblige.oblige(frame, self._sets.force)
        except MergeCycle as cycle:
            raise Poison("merge-cycle", "MRG-1", patient) from cycle
        except RuleFailed as failed:
            raise Poison(failed.code, failed.location, patient) from failed
        return Ended(Outcome.APPLIED, patient=patient)

    def _fhir(self, entry: Entry, frame: Frame) -> Ended:
        body = orjson.loads(entry.body)
        echo = _own_delivery(body["resource"])
        if echo:
            ended = deliveries.echo(frame, echo, f"Communication/{body['resource'].get('id', '')}")
            return Ended(ended.outcome, patient=ended.patient, result={"status": 200, "body": {}})
        frame.whole = body["method"] == "PUT"
        alias = f"{SENDERS_ID}{self._sets.feed(entry.feed).source}"
        translation = translate.fhir(body, self._sets, lambda kind, sent: self._find(alias, kind, sent))
        resource = translation.assertions[0].resource
        known = self.state.part(resource["id"])
        _check_version(body.get("if_match"), known)
        ended = self._assert(entry, frame, translation)
        sent_id = body["resource"].get("id")
        if sent_id:
            self.state.put_identifiers(resource["id"], resource["resourceType"], [(alias, sent_id)])
        version = frame.touched.docs[resource["id"]].get("version", 0)
        told = {"id": resource["id"], "created": known is None, "version": version}
        return Ended(
            ended.outcome, patient=ended.patient, result={"status": 201 if known is None else 200, "body": told}
        )

    def _find(self, alias: str, kind: str, sent_id: str) -> str | None:
        """The id here of what a sender calls by its own id, or by ours."""
        part = self.state.part(sent_id)
        if part is not None and part["type"] == kind:
            return sent_id
        return self.state.identified(alias, sent_id, kind)

    def _refold(self, entry: Entry, frame: Frame) -> Ended:
        return refold.refold(frame, entry.body, self.journal, self._sets, self._read, refold.Kept(GATEWAY, SENDERS_ID))

    def _read(self, entry: Entry) -> Translation:
        """What an entry of a sender asserts, under the sets in force."""
        if entry.kind is Kind.HL7V2:
            translation = translate.hl7v2(entry, self._sets)
            if _own_document(translation):
                raise Ignored("own-delivery")
            return translation
        body = orjson.loads(entry.body)
        if _own_delivery(body["resource"]):
            raise Ignored("own-delivery")
        alias = f"{SENDERS_ID}{self._sets.feed(entry.feed).source}"
        return translate.fhir(body, self._sets, lambda kind, sent: self._find(alias, kind, sent))

    def _command(self, entry: Entry, frame: Frame) -> Ended:
        body = orjson.loads(entry.body)
        self.about = body.get("patient") or None
        try:
            return commands.apply(frame, body, self._sets.force, self.validate, self._sets.destination)
        except RuleFailed as failed:
            raise Poison(failed.code, failed.location, body.get("patient")) from failed

    def _timer(self, entry: Entry, frame: Frame) -> Ended:
        body = orjson.loads(entry.body)
        if self.state.timer_due(body["timer"]) != body["due"]:
            raise Ignored("timer-moved")
        self.state.drop_timer(body["timer"])
        if body["action"] == "sweep":
            return self._sweep(entry, frame, body["target"])
        if body["action"] == minors.ACTION:
            return minors.birthday(frame, body["target"], self._sets.consent_ages, self._sets.zone)
        if body["action"] == "wake":
            oblige.judge_again(frame, body["target"], self._sets.force)
            return Ended(Outcome.APPLIED)
        return commands.overdue(frame, body["target"])

    def _sweep(self, entry: Entry, frame: Frame, after: str) -> Ended:
        """Judge the next patients by rules that came into force, and leave the rest to the next entry (FOLD 11)."""
        roots = self.state.roots_after(after, SWEPT)
        for root in roots:
            frame.touched = Touched(relinked={root})
            oblige.oblige(frame, self._sets.force)
        if len(roots) == SWEPT:
            self.state.put_timer(SWEEP, entry.received_at + 1, entry.partition, "sweep", roots[-1])
        return Ended(Outcome.APPLIED)

    def _retry(self, entry: Entry, frame: Frame) -> Ended:
        """A parked entry again, or dropped for good (FOLD 17): its outcome is replaced, its bytes stay as they came."""
        body = orjson.loads(entry.body)
        known = self.state.outcome_of(body["seq"])
        cited = self.journal.entry(body["seq"])
        if cited is None or known is None or known[0] != Outcome.PARKED:
            raise Refused(409, "not-parked", "Only a parked entry can be retried or dropped", "seq")
        if body.get("drop"):
            ended = Ended(Outcome.IGNORED, "dropped", patient=known[1], result={"reason": body["drop"]})
        elif cited.kind is Kind.ACTIVATION and cited.type != refold.TYPE:
            raise Refused(409, "activate-again", "Tables are not retried but put in force again", "seq")
        else:
            try:
                ended = self._kinds[cited.kind](cited, frame)
            except Ignored as reason:
                ended = Ended(Outcome.IGNORED, reason.code, reason.location)
            except Poison as reason:
                raise Refused(422, reason.code, "The entry still cannot be applied", reason.location) from reason
        self.state.end_again(cited.seq, cited.feed, cited.kind, self._sets.digest, ended)
        return Ended(Outcome.APPLIED, patient=ended.patient, result={"status": 200, "body": {"outcome": ended.outcome}})


def _check_version(if_match: str | None, known: Doc | None) -> None:
    """Refuse a write that was made on another version than the one that stands."""
    if if_match is None or if_match.strip() == "*":
        return
    version = str((known or {}).get("version", 0))
    if if_match.strip().removeprefix("W/").strip('"') != version:
        raise Refused(412, "stale-version", "The resource has changed: read it again", "If-Match")


def _own_document(translation: Translation) -> tuple[str, str] | None:
    """The delivery that an MDM is the echo of, and the document that it tells of (FOLD 20)."""
    if translation.trigger.startswith("MDM^"):
        for assertion in translation.assertions:
            delivery = _own_delivery(assertion.resource) if assertion.action != "mention" else None
            if delivery:
                return delivery, f"DocumentReference/{assertion.resource['id']}"
    return None


def _own_delivery(resource: Mapping[str, Any]) -> str | None:
    """The delivery that a resource is the echo of: it bears our own identifier (FOLD 20)."""
    for identifier in (*resource.get("identifier", ()), resource.get("masterIdentifier", {})):
        if identifier.get("system") == commands.DELIVERY_SYSTEM:
            return str(identifier.get("value"))
    return None
