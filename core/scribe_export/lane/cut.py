"""Waiting scans become the members of batches: how many at most, and which may share one."""

from dataclasses import dataclass

from scribe_export.errors import InvalidScan, Rejected
from scribe_export.interface import Sink
from scribe_export.model import Record

DEFAULT_RECORDS = 500
DEFAULT_BYTES = 8 * 2**20
DEFAULT_AGE = 10.0


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """When a lane seals: at `max_records`, at `max_bytes`, or when the oldest has waited `max_age` seconds."""

    max_records: int
    max_bytes: int
    max_age: float

    @classmethod
    def of(cls, sink: Sink) -> "BatchBounds":
        """The operator's wish within the sink's limits. Batches of a destination that tells each record by itself
        do not wait to be filled, unless they are asked to."""
        wish, limits = sink.options.batch, sink.limits
        return cls(
            max_records=min(wish.max_records or DEFAULT_RECORDS, limits.max_records or DEFAULT_RECORDS * 100),
            max_bytes=min(wish.max_bytes or DEFAULT_BYTES, limits.max_bytes or 2**40),
            max_age=wish.max_age if wish.max_age is not None else (DEFAULT_AGE if sink.identity == "batch" else 0.0),
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """Members by partition, and by sequence number those that the sink cannot name, with class and reason."""

    members: dict[str, list[Record]]
    refused: dict[int, tuple[str, str]]


def group(sink: Sink, records: list[Record]) -> Groups:
    """Ask the sink how each record's batch is named."""
    members: dict[str, list[Record]] = {}
    refused: dict[int, tuple[str, str]] = {}
    if type(sink).partition is Sink.partition:
        if records:
            members[""] = records
        return Groups(members, refused)
    for record in records:
        try:
            members.setdefault(sink.partition(record), []).append(record)
        except Rejected as error:
            refused[record.seq] = (error.kind, str(error))
        except InvalidScan as error:
            refused[record.seq] = ("rejected", str(error))
        except Exception as error:  # noqa: BLE001 - a sink's bug must not stop its lane
            refused[record.seq] = ("bug", f"{type(error).__name__}: {error}")
    return Groups(members, refused)
