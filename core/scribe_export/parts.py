"""A batch that goes out in several requests, side by side in worker threads, and what became of its records."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from anyio import to_thread

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient


@dataclass(frozen=True, slots=True)
class Part:
    """One request: `members` are the indexes of the records it carries, `payload` what is sent.

    `size` is in bytes as the service counts them, where the sink needs to know.
    """

    members: tuple[int, ...]
    payload: Any
    size: int = 0


class Requests:
    """Sends the parts of batches, `concurrency` at once over all batches.

    `send` makes one request and returns the errors of records that failed, by index; raising fails the whole part.
    `classify` puts what it raises in the framework's terms; None means a bug. With `in_order` the parts of one batch go
    one after another, and none after one that failed.
    """

    def __init__(
        self,
        send: Callable[[Part], Mapping[int, SinkError]],
        *,
        classify: Callable[[Exception], SinkError | None],
        concurrency: int,
        in_order: bool = False,
    ) -> None:
        self._send, self._classify, self._concurrency, self._in_order = send, classify, concurrency, in_order
        self._limiter: anyio.CapacityLimiter | None = None

    async def write(self, parts: Sequence[Part]) -> None:
        """Return when every record was taken; raise one error for all, or `PartialFailure`."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._concurrency)
        outcomes = _Outcomes(1 if self._in_order else min(self._concurrency, len(parts)), in_order=self._in_order)
        waiting = iter(parts)
        if outcomes.workers == 1:
            await self._work(waiting, outcomes, self._limiter)
        else:
            async with anyio.create_task_group() as group:
                for _ in range(outcomes.workers):
                    group.start_soon(self._work, waiting, outcomes, self._limiter)
        outcomes.conclude()

    async def _work(self, waiting: Iterator[Part], outcomes: "_Outcomes", limiter: anyio.CapacityLimiter) -> None:
        for part in waiting:
            if outcomes.stopped:
                outcomes.fail(part, outcomes.stopped)
                continue
            try:
                errors = await to_thread.run_sync(self._send, part, limiter=limiter)
            except SinkError as error:
                outcomes.fail(part, error)
            except Exception as error:  # noqa: BLE001 - a bug in one request must not lose the others' acks
                outcomes.fail(part, self._classify(error) or error)
            else:
                outcomes.take(part, errors)


class _Outcomes:
    """What became of the parts of one write."""

    def __init__(self, workers: int, *, in_order: bool) -> None:
        self.workers = workers
        self._in_order = in_order
        self.stopped: SinkError | None = None
        self._acked: set[int] = set()
        self._errors: dict[int, SinkError] = {}
        self._failed_parts = 0
        self._bugs: list[Exception] = []

    def take(self, part: Part, errors: Mapping[int, SinkError]) -> None:
        self._acked.update(index for index in part.members if index not in errors)
        self._errors.update(errors)
        if self._in_order:
            waits = [error for error in errors.values() if not isinstance(error, Rejected)]
            self.stopped = self.stopped or (_not_tried(waits[0]) if waits else None)

    def fail(self, part: Part, error: Exception) -> None:
        if not isinstance(error, SinkError):
            self._bugs.append(error)
            return
        self._failed_parts += 1
        self._errors.update(dict.fromkeys(part.members, error))
        if isinstance(error, Misconfigured):
            self.stopped = error
        elif isinstance(error, Transient) and (
            self._in_order or (not self._acked and self._failed_parts >= self.workers)
        ):
            # Every worker met a failing service: the rest would only wait for the same.
            self.stopped = self.stopped or _not_tried(error)

    def conclude(self) -> None:
        if not self._errors and not self._bugs:
            return
        if not self._acked:
            if not self._errors:
                raise self._bugs[0]
            one = one_for_all(self._errors.values())
            if one and not self._bugs:
                raise one
        raise PartialFailure(self._acked, self._errors)


def _not_tried(error: SinkError) -> SinkError:
    delay = error.retry_after if isinstance(error, Transient) else None
    return Transient(f"not tried, the others failed: {error}", retry_after=delay, applied="no")


def one_for_all(errors: Iterable[SinkError]) -> SinkError | None:
    """The one error that says the same as all, where all are the destination's and not a record's."""
    each = list(errors)
    if all(isinstance(error, Misconfigured) for error in each):
        return each[0]
    passing = [error for error in each if isinstance(error, Transient)]
    if len(passing) < len(each):
        return None
    delays = [error.retry_after for error in passing if error.retry_after is not None]
    kinds = {error.kind for error in passing}
    return (Throttled if any(isinstance(error, Throttled) for error in passing) else Transient)(
        str(passing[0]),
        retry_after=max(delays, default=None),
        applied="no" if all(error.applied == "no" for error in passing) else "unknown",
        burned=all(error.burned for error in passing),
        kind=kinds.pop() if len(kinds) == 1 else None,
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may carry; bytes as the service counts them."""

    records: int
    size: int


def divided(sizes: Mapping[int, int], limits: Limits) -> Iterator[tuple[int, ...]]:
    """Members, by index with their sizes and in order, cut into requests within the limits."""
    group: list[int] = []
    filled = 0
    for index, size in sizes.items():
        if group and (len(group) == limits.records or filled + size > limits.size):
            yield tuple(group)
            group, filled = [], 0
        group.append(index)
        filled += size
    if group:
        yield tuple(group)
