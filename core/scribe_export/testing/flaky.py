"""A sink that fails by script or by chance, in front of an honest one."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, get_args

import anyio

from scribe_export.clock import Clock
from scribe_export.errors import Applied, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Sink
from scribe_export.model import Batch, Encoded, Record, Usage

Fate = Literal[
    "ok", "refused", "rejected", "lost_answer", "lost_request", "throttled", "misconfigured", "partial", "bug", "hang"
]
"""What becomes of one write.

``ok`` is written. ``refused`` is Transient, surely not applied. ``rejected`` is Rejected. ``lost_answer`` is written and
``lost_request`` is not: both are Transient, unknown. ``throttled`` and ``misconfigured`` are those errors. ``partial``
writes some members and fails the others, surely not applied. ``bug`` raises a RuntimeError. ``hang`` does not return
before `FlakySink.release`, and then is written.
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One write: which batch, its scan ids, its fate, and when by the context's monotonic clock."""

    batch_id: str
    attempt: int
    generation: int
    scan_ids: tuple[str, ...]
    fate: Fate
    at: float


class FlakySink(Sink):
    """Gives each write the next fate of `script`, then fates drawn by `chances` (weights) with `seed`, else ``ok``.

    A batch with a scan of `poison` in it always fails as Transient, which says `poison_applied`. ``partial`` needs an
    inner sink with identity ``record`` and two members; else it is ``refused``. `attempts` lists every write begun, in
    order.
    """

    def __init__(
        self,
        inner: Sink,
        script: Iterable[Fate] = (),
        *,
        chances: Mapping[Fate, float] | None = None,
        seed: int = 0,
        poison: Iterable[str] = (),
        poison_applied: Applied = "unknown",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(inner.options, inner.context)
        unknown = ({*script} | {*(chances or {})}) - {*get_args(Fate)}
        if unknown:
            raise ValueError(f"no such fate: {', '.join(sorted(unknown))}; known are {', '.join(get_args(Fate))}")
        self.inner = inner
        self.limits, self.effect, self.identity = inner.limits, inner.effect, inner.identity
        self.script = deque(script)
        self.chances = dict(chances or {})
        self.poison = set(poison)
        self.poison_applied: Applied = poison_applied
        self.retry_after = retry_after
        self.attempts: list[Attempt] = []
        self.hanging = 0
        self._random = Random(seed)  # noqa: S311 - a reproducible script of faults, not a secret
        self._released = anyio.Event()

    @property
    def _clock(self) -> Clock:
        return self.context.clock

    def release(self) -> None:
        """Let all writes go on that hang."""
        self._released.set()
        self._released = anyio.Event()

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    def partition(self, record: Record) -> str:
        return self.inner.partition(record)

    def shape(self) -> Mapping[str, Any]:
        """The inner sink's."""
        return self.inner.shape()

    def encode(self, batch: Batch) -> Encoded:
        """The inner sink's."""
        return self.inner.encode(batch)

    def usage(self, encoded: Encoded) -> Usage:
        """The inner sink's."""
        return self.inner.usage(encoded)

    async def write(self, encoded: Encoded) -> str | None:
        """Meet the next fate."""
        batch = encoded.batch
        ids = tuple(record.scan_id for record in batch.records)
        fate = self._next_fate()
        self.attempts.append(Attempt(batch.id, batch.attempt, batch.generation, ids, fate, self._clock.monotonic()))
        if not self.poison.isdisjoint(ids):
            raise Transient("the service answered 500", applied=self.poison_applied)
        if fate == "partial":
            return await self._write_some(encoded)
        if fate == "hang":
            await self._hang()
        if fate in {"ok", "hang", "lost_answer"}:
            answer = await self.inner.write(encoded)
            if fate != "lost_answer":
                return answer
        raise _ERRORS[fate](self.retry_after)

    def _next_fate(self) -> Fate:
        if self.script:
            return self.script.popleft()
        if not self.chances:
            return "ok"
        return self._random.choices(list(self.chances), weights=list(self.chances.values()))[0]

    async def _hang(self) -> None:
        self.hanging += 1
        try:
            await self._released.wait()
        finally:
            self.hanging -= 1

    async def _write_some(self, encoded: Encoded) -> str | None:
        members = encoded.batch.records
        if self.identity == "batch" or len(members) < 2:
            raise _ERRORS["refused"](None)
        acked = sorted(self._random.sample(range(len(members)), self._random.randrange(1, len(members))))
        part = replace(encoded.batch, records=tuple(members[index] for index in acked))
        answer = await self.inner.write(self.inner.encode(part))
        failed: dict[int, SinkError] = {
            index: _ERRORS["refused"](None) for index in range(len(members)) if index not in acked
        }
        raise PartialFailure(acked, failed, answer=answer or "")


_ERRORS: dict[Fate, Callable[[float | None], Any]] = {
    "refused": lambda _: Transient("the service refused the request", applied="no"),
    "rejected": lambda _: Rejected("the service rejects this for good"),
    "lost_answer": lambda _: Transient("the connection broke before the answer came"),
    "lost_request": lambda _: Transient("the connection broke before the answer came"),
    "throttled": lambda delay: Throttled("slow down", retry_after=delay, applied="no"),
    "misconfigured": lambda _: Misconfigured("these credentials may not do that"),
    "bug": lambda _: RuntimeError("a bug in the sink"),
}
