"""What a connector implements, and what the framework promises in return."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from scribe_export.clock import Clock, SystemClock
from scribe_export.model import (
    Batch,
    BatchLimits,
    Delivery,
    Effect,
    EffectClass,
    Encoded,
    Identity,
    Incoming,
    Record,
    Reply,
    Request,
    ScanRequest,
    Usage,
)
from scribe_export.options import Options, ScannerOptions, SinkOptions, SourceOptions

AnyOptions = TypeVar("AnyOptions", bound=Options)


@dataclass(frozen=True, slots=True)
class Context:
    """What the framework tells a connector about its place: relative paths start at `folder`.

    `once` asks a source to read what is there and then return, instead of waiting for more.
    """

    name: str
    pipeline: str = "default"
    folder: Path = field(default_factory=Path)
    assume_timezone: tzinfo = UTC
    clock: Clock = field(default_factory=SystemClock)
    once: bool = False


class Connector(ABC, Generic[AnyOptions]):
    """Opened once, used by many tasks at once, closed once.

    `options_type` is the frozen model of what the user writes in YAML. Blocking SDK calls go through
    `anyio.to_thread.run_sync`, bounded by the SDK's own timeouts, which are always set.
    """

    options_type: ClassVar[type[Options]]

    def __init__(self, options: AnyOptions, context: Context) -> None:
        """Keep both; acquire nothing yet."""
        self.options = options
        self.context = context

    async def open(self) -> None:
        """Acquire clients; raise `Misconfigured` or `Transient`. Called again after either."""

    async def close(self) -> None:
        """Release everything; safe twice, and safe before `open`."""


class Sink(Connector[SinkOptions]):
    """Knows one service. Never retries, batches, sleeps or logs failures: the lane does.

    `limits`, `effect` and `identity` may be set on the instance where the options decide them.
    """

    options_type: ClassVar[type[Options]] = SinkOptions
    limits: BatchLimits = BatchLimits()
    effect: Effect = Effect(EffectClass.AT_LEAST_ONCE, "nothing at the destination tells a repeat from a new record")
    identity: Identity = "record"
    ordered: bool = False
    """Whether batches of the same partition go one at a time, in the order of their scans; a retry holds its own back."""

    def partition(self, record: Record) -> str:  # noqa: ARG002
        """What the record's batch will be named, with ``{batch_id}`` where the batch's id belongs.

        Called when a batch is sealed; records with different answers are never sealed together. Raise `Rejected` for a
        record that cannot be named. Empty (the default): batches need no name and any records may share one.
        """
        return ""

    def shape(self) -> Mapping[str, Any]:
        """Everything in the options that names or encodes a batch, as JSON values: frozen at sealing into `Batch.shape`.

        `encode` and `write` read these from the batch, never from the options.
        """
        return {}

    def encode(self, batch: Batch) -> Encoded:
        """Prepare a batch. Pure: no network, and the same bytes for the same batch each time it comes.

        Records that can never be accepted (too large, not representable) are named in `Encoded.refused`; the lane
        dead-letters these, seals the others anew and calls again. Runs in a worker thread.
        """
        return Encoded(batch)

    async def prepare(self, batch: Batch) -> str:  # noqa: ARG002
        """Take a place for a batch at the service before it is first written, such as a stream and an offset in it.

        The answer is durable before `write` is called, and comes as `Batch.note` with every attempt; called again only
        if it was empty, or after the batch's name was burned. Raises as `write` does, and then nothing was written.
        """
        return ""

    async def preview(self, encoded: Encoded) -> Sequence[Request]:  # noqa: ARG002
        """The requests of a first `write` whose answers are all good, made offline: neither opened nor connected.

        They are what the same client would send, not a description kept beside it. Empty if the sink cannot tell.
        """
        return ()

    def usage(self, encoded: Encoded) -> Usage:  # noqa: ARG002
        """What writing a batch is charged for, as far as the batch tells. Pure and quick: no network, in the event loop.

        Called once for each attempt, whatever came of it, and the same for all of them: what a service charges for a look
        at what is there already, or does not because an attempt ended early, is left aside. Empty: nothing is counted.
        """
        return Usage()

    @abstractmethod
    async def write(self, encoded: Encoded) -> str | None:
        """Returning acks every record: it is durable there. A short answer (an ETag, a request id) goes into the receipt.

        Raise `PartialFailure` to ack some, or another `SinkError` for none. The same batch, with the same id, may come
        again: after an error, after a crash, or because the answer was lost.
        """


class Checkpoint(Protocol):
    """A source's durable notes: what it yielded in `Delivery.checkpoint`, committed."""

    async def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `keys` that have one."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Scans that a source missed: `what` happened, in the operator's words, and when, on the monotonic clock."""

    what: str
    at: float


class Source(Connector[SourceOptions]):
    """Reads one service."""

    options_type: ClassVar[type[Options]] = SourceOptions
    gaps: int = 0
    """How many times `missed` was called."""
    last_gap: Gap | None = None
    """What the last call said."""

    def missed(self, what: str) -> None:
        """Say that scans were missed, or may have been, that cannot be got any more: `what` becomes the alert ``gap``."""
        self.gaps += 1
        self.last_gap = Gap(what, self.context.clock.monotonic())

    @abstractmethod
    def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        """Yield until exhausted (or for ever); raise `SourceError`, `Transient` or `Misconfigured`.

        The next delivery is asked for as soon as the last was handed over, before its ack: a source bounds what it
        keeps unacked. Nothing is skipped on the source's side before `Delivery.checkpoint` is committed. When
        `Transient` or `Misconfigured` was raised the framework calls again after a backoff, when it returned never.
        """

    @property
    def replies(self) -> bool:
        """Whether the options ask for requesters to be answered, by `reply`."""
        return False

    async def reply(self, replies: Sequence[Reply]) -> None:
        """Put replies, JSON objects with the request's id, where requesters look for them.

        Returning confirms all of them; raises as `Sink.write`, and then they come again. Called on an instance that was
        opened for this alone.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot answer requests")


@runtime_checkable
class Triggered(Protocol):
    """A source whose service can bring what there is to a serverless host, instead of being asked for it.

    Such a host neither opens the source nor reads its `deliveries`, and closes it in the end. An `event` is one record of
    what the platform hands over, as JSON values: a message of SQS, a notification of S3, an event of EventBridge, a push
    of Pub/Sub.
    """

    def trigger(self) -> str:
        """Whose events it takes, for messages: a queue's URL, a bucket and a prefix."""

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Whether the event comes from what this source reads."""

    def incoming(self, event: Mapping[str, Any]) -> AsyncIterator[Sequence[Incoming]]:
        """The bodies that the event brings, in pieces; none where it brings none, as that of an object that was removed.

        Raises as `Source.deliveries`, and then the platform delivers the event again.
        """


class Scanner(Connector[ScannerOptions]):
    """Performs scans."""

    options_type: ClassVar[type[Options]] = ScannerOptions

    @abstractmethod
    async def scan(self, request: ScanRequest) -> bytes:
        """Perform one scan and return the completed scan's raw JSON.

        Raise `Rejected` if the request can never be performed, `Transient` with ``applied="no"`` if it surely was not
        performed, `Transient` otherwise. Never repeats a request by itself: a measurement is not a look-up.
        """
