"""What passes between the framework and a connector."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import Enum
from typing import Any, Literal

from scribe_export.errors import Rejected
from scribe_export.scan import ScanFields, decode_document, parse_timestamp, read_fields

Identity = Literal["record", "batch"]
"""What a destination recognises when it comes again: each record by itself, or only the batch it came in."""


Answer = Literal["ack", "nack", "refuse"]


class EffectClass(Enum):
    """How many times a scan takes effect at a destination when deliveries are repeated."""

    EXACT = "exact"
    EXACT_PER_BATCH = "exact per batch"
    WINDOWED = "windowed"
    AT_LEAST_ONCE = "at least once"


@dataclass(frozen=True, slots=True)
class Effect:
    """A sink's effect class and the mechanism that gives it, in the operator's words."""

    kind: EffectClass
    by: str


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one `write` may carry; None is no limit. Bytes are those of the raw bodies."""

    max_records: int | None = 1
    max_bytes: int | None = None
    max_record_bytes: int | None = None


class Record:
    """A journalled scan on its way to one or more destinations; lanes share it and do not change it.

    `body` are the raw bytes as the source gave them, `sha256` their digest in hex. `version` is 1, or higher where the
    same id came again with other content. `received_at` is the time of journalling, seconds since the epoch. `ident` is
    what digests of batches are made of.
    """

    __slots__ = (
        "_document",
        "_fields",
        "assume",
        "body",
        "ident",
        "received_at",
        "scan_id",
        "seq",
        "sha256",
        "size",
        "source",
        "version",
    )

    def __init__(
        self,
        *,
        seq: int,
        scan_id: str,
        sha256: str,
        body: bytes,
        source: str = "",
        version: int = 1,
        received_at: float = 0.0,
        fields: ScanFields | None = None,
        assume: tzinfo = UTC,
    ) -> None:
        self.seq = seq
        self.scan_id = scan_id
        self.sha256 = sha256
        self.body = body
        self.size = len(body)
        self.ident = f"{scan_id}\0{sha256}\n"
        self.source = source
        self.version = version
        self.received_at = received_at
        self.assume = assume
        self._fields = fields
        self._document: dict[str, Any] | None = None

    @property
    def fields(self) -> ScanFields:
        """The routing fields, decoded once. Raises `InvalidScan`."""
        if self._fields is None:
            self._fields = read_fields(self.body)
        return self._fields

    def document(self) -> dict[str, Any]:
        """The whole document, decoded anew: the caller may change it. Raises `InvalidScan`."""
        return decode_document(self.body)

    @property
    def timestamp(self) -> datetime:
        """The scan's moment in UTC: its own, or that of journalling if it names none. Raises `Rejected`."""
        value = self.fields.timestamp
        if value is None:
            return datetime.fromtimestamp(self.received_at, UTC)
        try:
            return parse_timestamp(value, self.assume).astimezone(UTC)
        except (ValueError, OverflowError):
            raise Rejected(f"timestamp {value!r:.80} is not ISO 8601", kind="timestamp") from None


@dataclass(frozen=True, slots=True)
class Batch:
    """A sealed batch: the same members, name and shape at every attempt.

    `id` is never reused and never shared by two journals. `name` is what `Sink.partition` gave for its members with
    ``{batch_id}`` filled in, rendered when the batch was sealed. `generation` rises when the service has used up a name
    without effect. `attempt` counts from 1; above 1 an earlier attempt may have been applied. `shape` is
    `Sink.shape` as it was at sealing. `digest` covers the ordered scan ids and sha256s. `note` is what `Sink.prepare`
    answered for this batch, the same at every attempt.
    """

    id: str
    name: str
    records: tuple[Record, ...]
    digest: str
    shape: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    attempt: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch in the form its sink writes. `refused` names, by index, the records that can never be accepted."""

    batch: Batch
    payload: Any = None
    refused: Mapping[int, Rejected] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one `Sink.write` asks of its service, in the units that the service counts for its bill.

    `tried` counts for every attempt, `kept` only for records that were confirmed: what a service stores, and what it
    charges for success alone. Amounts are finite and not negative. Names are ``requests``, ``bytes_sent`` (of bodies) and
    ``stored_bytes``, which have no price, and a service's own, such as ``aws_s3.put_requests``.
    """

    tried: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its service gets it, date and signature aside.

    `method` is HTTP's or the full name of a gRPC method, `target` the URL or the gRPC server. `headers` are those that
    say something of the delivery. `body` are the bytes of an HTTP body, or the message of a gRPC call as JSON. `records`
    are the indexes of the records that it carries.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    records: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Incoming:
    """One body as a source read it; `origin` says where from, for messages (a path and line, an object key).

    `id` is the service's own id of the message, the same if it is delivered again: it names a request that has none.
    `reply_to` says, in the source's own words, where a request's sender wants its reply: it comes back as `Reply.to`.
    """

    body: bytes
    origin: str = ""
    id: str = ""
    reply_to: str = ""


class Reply(bytes):
    """A reply: a JSON object with its request's id. `to` is what the request's `Incoming.reply_to` was."""

    to: str = ""

    @classmethod
    def of(cls, body: bytes, to: str) -> "Reply":
        """A reply for whoever asked there."""
        reply = cls(body)
        reply.to = to
        return reply


async def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source yields: bodies in the order read, and the checkpoints that become true with them.

    `checkpoint` is committed in the same transaction as the bodies; a value of None forgets its key. `ack` is called
    once they are fsynced, `nack` if they were not taken; exactly one of the two, exactly once.

    With `buffer: none`, `answer` is called in place of `ack`, for some of `incoming` by their places, each place once:
    ``ack`` when its destinations have it, ``nack`` when another may have it at once, ``refuse`` when no destination ever
    will, so that the service's own dead-letter queue takes it. None: the source cannot answer for each.
    """

    incoming: Sequence[Incoming]
    checkpoint: Mapping[str, str | None] = field(default_factory=dict)
    ack: Callable[[], Awaitable[None]] = _nothing
    nack: Callable[[], Awaitable[None]] = _nothing
    answer: Callable[[Sequence[int], Answer], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan somebody asks for, as the guide's `ScanConfig`: hertz, seconds, and an amplitude from 0 to 1."""

    signal_type: str = "sine"
    frequency: float = 440.0
    duration: float = 2.0
    amplitude: float = 0.5
