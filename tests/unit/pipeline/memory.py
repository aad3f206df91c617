"""The journal and the state of a gateway in memory, folded by the real rules of pipeline.deliveries."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace
from threading import RLock
from types import SimpleNamespace
from typing import Any

import orjson

from fhir_bridge.pipeline import deliveries
from fhir_bridge.pipeline.errors import Ignored
from fhir_bridge.pipeline.outbox import SECOND, Answer, Delivery, Result
from fhir_bridge.pipeline.ports import Draft, JournalFull, Kind, Receipt
from fhir_bridge.pipeline.state import DeliveryRow

START = 1_710_072_000 * SECOND
OPEN = ("pending", "held", "retrying", "sending")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class Inline(Executor):
    """Runs what is submitted at once, in this thread."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Memory:
    """Implements JournalWriter and Outbox. The state lags while `lagging`; `fold` applies what is left."""

    def __init__(self) -> None:
        self.entries: list[tuple[Draft, Receipt]] = []
        self.rows: dict[str, DeliveryRow] = {}
        self.parked: set[str] = set()
        self.lagging = False
        self.trouble: list[
            str
        ] = []  # for each append: 'lost' (not stored), 'unheard' (stored, but it raised), '' (fine)
        self.waits = 0
        self._applied = 0
        self._lock = RLock()

    # the journal

    def append(self, draft: Draft, timeout: float = 10.0) -> Receipt:
        with self._lock:
            trouble = self.trouble.pop(0) if self.trouble else ""
            if trouble == "lost":
                raise JournalFull
            seq = len(self.entries) + 1
            same = [r for d, r in self.entries if (d.feed, d.key) == (draft.feed, draft.key)]
            repeat = [r for d, r in self.entries if (d.feed, d.key, d.body) == (draft.feed, draft.key, draft.body)]
            first = repeat[0].original_seq if repeat else seq
            receipt = Receipt(seq, first, draft.received_at, conflicting=bool(same) and not repeat)
            self.entries.append((draft, receipt))
            if not self.lagging:
                self.fold()
            if trouble == "unheard":
                raise JournalFull
            return receipt

    def head(self) -> int:
        return len(self.entries)

    def results(self, delivery_id: str) -> list[str]:
        """What the journal says of a delivery, in order: 'attempt' or an answer's result and reason."""
        told = []
        for draft, receipt in self.entries:
            body = orjson.loads(draft.body)
            if body.get("delivery") == delivery_id and not receipt.duplicate:
                answer = f"{body.get('result')} {body.get('reason') or ''}".strip()
                told.append("attempt" if draft.kind is Kind.ATTEMPT else answer)
        return told

    # the fold

    def fold(self) -> None:
        with self._lock:
            for draft, receipt in self.entries[self._applied :]:
                if draft.kind in (Kind.ATTEMPT, Kind.ANSWER) and not receipt.duplicate:
                    state = SimpleNamespace(delivery=self.rows.get, put_delivery=self._put, event=lambda *_: None)
                    frame = SimpleNamespace(state=state, received_at=draft.received_at, seq=receipt.seq)
                    step = deliveries.attempt if draft.kind is Kind.ATTEMPT else deliveries.answer
                    try:
                        step(frame, orjson.loads(draft.body))
                    except Ignored:
                        continue
            self._applied = len(self.entries)

    def _put(self, row: DeliveryRow) -> None:
        self.rows[row.id] = row

    # the outbox

    def applied(self, partition: int) -> int:
        return self._applied

    def due(self, destination: str, now: int, limit: int) -> list[Delivery]:
        with self._lock:
            rows = sorted(self.rows.values(), key=lambda r: (r.created_at, r.id))
            heads: dict[str, DeliveryRow] = {}
            for row in rows:
                if row.destination == destination and row.state in OPEN:
                    heads.setdefault(row.root, row)
            ready = [r for r in heads.values() if r.state in ("pending", "retrying") and r.not_before <= now]
            return [value(r) for r in ready[:limit]]

    def held(self) -> list[Delivery]:
        return self._in_state("held")

    def sending(self) -> list[Delivery]:
        return self._in_state("sending")

    def _in_state(self, state: str) -> list[Delivery]:
        with self._lock:
            return [value(r) for r in self.rows.values() if r.state == state]

    def delivery(self, delivery_id: str) -> Delivery | None:
        with self._lock:
            row = self.rows.get(delivery_id)
            return value(row) if row else None

    def has_parked(self, root: str) -> bool:
        return root in self.parked

    # the tests' own

    def add(self, delivery_id: str, *, patient: str = "pat-1", destination: str = "ehr", **changes: Any) -> None:
        row = DeliveryRow(
            id=delivery_id,
            task=None,
            patient=patient,
            root=patient,
            partition=3,
            destination=destination,
            state="pending",
            generation=1,
            not_before=START,
            created_at=START + len(self.rows),
            updated_at=START,
            detail={},
            resource={"resourceType": "Communication", "status": "completed", "identifier": [{"value": delivery_id}]},
        )
        self.rows[delivery_id] = replace(row, **changes)

    def state(self, delivery_id: str) -> str:
        return self.rows[delivery_id].state


def value(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        patient=row.patient,
        root=row.root,
        partition=row.partition,
        destination=row.destination,
        state=row.state,
        generation=row.generation,
        not_before=row.not_before,
        created_at=row.created_at,
        resource=row.resource,
        reason=row.detail.get("reason"),
    )


class Ehr:
    """A destination that gives the answers it was told to, and remembers what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.received: list[str] = []
        self._answers = list(answers)

    def send(self, resource: dict[str, Any], now: int) -> Answer:
        self.received.append(resource["identifier"][0]["value"])
        return self._answers.pop(0) if self._answers else Answer(Result.DELIVERED, 201, ehr_id="Communication/1")
