"""Destinations that keep what they are sent in memory, with fates that a test chooses for each attempt.

Each is a real sink: the lane's own code encodes and writes to it. What a destination holds is the truth that the ledger
is judged by; a repeated write has the effect that the service it stands for would have.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal

import msgspec

from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, Encoded, Identity, Record
from scribe_export.options import BatchOptions, SinkOptions

Fate = Literal[
    "ok", "lost", "unapplied", "no", "throttled", "misconfigured", "rejected", "partial", "bug", "burned", "lost_burn"
]
"""``lost``: applied, and the answer never came; ``unapplied``: not applied, which nobody knows; ``burned``: a load job
ends with errors; ``lost_burn``: the same, and the answer never came."""

FATES: tuple[Fate, ...] = (
    "ok", "ok", "ok", "lost", "lost", "unapplied", "no", "throttled", "misconfigured", "rejected", "partial", "bug",
    "burned", "lost_burn",
)  # fmt: skip
UNAPPLIED: frozenset[Fate] = frozenset({"unapplied", "throttled"})


class Broken(AssertionError):
    """A promise of the ledger is broken."""


@dataclass(slots=True)
class Arrived:
    """What every attempt at one batch has to look like."""

    name: str
    members: tuple[tuple[int, str], ...]
    shape: Mapping[str, Any]


@dataclass(slots=True)
class Fateful:
    """The fate of the next write, and the seed of what it leaves open."""

    fate: Fate = "ok"
    seed: int = 0


class Simulated(Sink):
    """`layout` is the operator's key template, `strict` whether large records are too large for the destination.

    `copies` counts for each scan, by sequence number, how many times it is held.
    """

    refuses: ClassVar[str] = "big"
    unnameable: ClassVar[str] = "nameless"

    def __init__(self, name: str) -> None:
        super().__init__(SinkOptions(batch=BatchOptions()), Context(name))
        self.layout = 1
        self.strict = True
        self.next = Fateful()
        self.copies: Counter[int] = Counter()
        self.arrived: dict[str, Arrived] = {}
        self.written: set[int] = set()

    def partition(self, record: Record) -> str:
        note = note_of(record)
        if note["tag"] == self.unnameable:
            raise Rejected("cannot be named", kind="unnameable")
        return f"layout{self.layout}/{note['group']}/{{batch_id}}"

    def shape(self) -> Mapping[str, Any]:
        return {"layout": self.layout}

    def encode(self, batch: Batch) -> Encoded:
        self._recognise(batch)
        big = [index for index, record in enumerate(batch.records) if note_of(record)["tag"] == self.refuses]
        refused = {index: Rejected("too large", kind="too_large") for index in big if self.strict}
        return Encoded(batch, payload=[record.body for record in batch.records], refused=refused)

    async def write(self, encoded: Encoded) -> str | None:
        batch = encoded.batch
        self.written.update(record.seq for record in batch.records)
        if self.strict and any(note_of(record)["tag"] == self.refuses for record in batch.records):
            raise Broken(f"{self.context.name} was sent a record that it refuses")
        fate, rng = self.next.fate, Random(self.next.seed)
        return self.take(batch, fate, rng)

    def take(self, batch: Batch, fate: Fate, rng: Random) -> str:
        """Do what the service would."""
        raise NotImplementedError

    def holds(self, seq: int) -> bool:
        """Whether a scan is there."""
        return self.copies[seq] > 0

    def _recognise(self, batch: Batch) -> None:
        members = tuple((record.seq, record.sha256) for record in batch.records)
        now = Arrived(batch.name, members, dict(batch.shape))
        before = self.arrived.setdefault(batch.id, now)
        if before != now:
            raise Broken(f"batch {batch.id} came as {before} and now as {now}")
        if batch.shape.get("layout") and not batch.name.startswith(f"layout{batch.shape['layout']}/"):
            raise Broken(f"batch {batch.id} is named {batch.name} and shaped {batch.shape}")


class PerRecord(Simulated):
    """A table keyed by scan id, or by id and content for a later version: writes are conditional."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.rows: dict[str, str] = {}

    def take(self, batch: Batch, fate: Fate, rng: Random) -> str:
        errors: dict[int, SinkError] = {}
        if fate == "partial":
            acked = set()
            for index, record in enumerate(batch.records):
                error = self._one_of_many(record, rng)
                if error is None:
                    acked.add(index)
                elif not isinstance(error, Transient) or error.retry_after != 0:
                    errors[index] = error
            raise PartialFailure(acked, errors, answer="some")
        if (error := refusal(fate)) is not None:
            raise error
        if fate in UNAPPLIED or (fate == "bug" and rng.random() < 0.5):
            raise failure(fate)
        for index, record in enumerate(batch.records):
            if (conflict := self._put(record)) is not None:
                errors[index] = conflict
        if fate in {"lost", "lost_burn", "bug"}:
            raise failure(fate)
        if errors:
            raise PartialFailure(set(range(len(batch.records))) - errors.keys(), errors)
        return "put"

    def _one_of_many(self, record: Record, rng: Random) -> SinkError | None:
        draw = rng.randrange(6)
        if draw < 2:
            return self._put(record)
        if draw == 2:
            return Rejected("this one never")
        if draw == 3:
            return Transient("not this one", applied="no")
        if draw == 4:
            self._put(record)
        return Transient("nobody knows", retry_after=0 if rng.random() < 0.5 else None)

    def _put(self, record: Record) -> SinkError | None:
        key = record.scan_id if record.version == 1 else f"{record.scan_id}~{record.sha256}"
        held = self.rows.setdefault(key, record.sha256)
        if held != record.sha256:
            return Conflict(f"{key} is another")
        self.copies[record.seq] = 1  # the same scan again, whatever number it came under
        return None


class PerBatch(Simulated):
    """A bucket: an object a batch under its name, created only if the name is free."""

    identity: Identity = "batch"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.objects: dict[str, tuple[int, ...]] = {}

    def take(self, batch: Batch, fate: Fate, rng: Random) -> str:
        if fate == "partial":
            raise self._partial(batch, rng)
        if (error := refusal(fate)) is not None:
            raise error
        if fate in UNAPPLIED or (fate == "bug" and rng.random() < 0.5):
            raise failure(fate)
        self._create(batch)
        if fate in {"lost", "lost_burn", "bug"}:
            raise failure(fate)
        return "created"

    def _partial(self, batch: Batch, rng: Random) -> PartialFailure:
        """Some rows are named as bad and nothing was applied; or all of it was, and only some of that is known."""
        indexes = range(len(batch.records))
        if rng.random() < 0.5 and batch.name not in self.objects:
            bad = {index for index in indexes if rng.random() < 0.4} or {0}
            errors: dict[int, SinkError] = {index: Rejected("a bad row") for index in bad}
            return PartialFailure((), errors | {i: Transient("stopped", applied="no") for i in indexes if i not in bad})
        self._create(batch)
        return PartialFailure({index for index in indexes if rng.random() < 0.5}, {})

    def _create(self, batch: Batch) -> None:
        if batch.name not in self.objects:
            self.objects[batch.name] = tuple(record.seq for record in batch.records)
            self.copies.update(self.objects[batch.name])


class LoadJobs(Simulated):
    """A job's id can be used once: a done one answers success, one that ended with errors never loads again."""

    identity: Identity = "batch"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.jobs: dict[str, Literal["done", "burned"]] = {}

    def take(self, batch: Batch, fate: Fate, rng: Random) -> str:
        job = f"{batch.name}-{batch.generation}"
        if (error := refusal(fate)) is not None:
            raise error
        if fate in UNAPPLIED or (fate in {"bug", "partial"} and rng.random() < 0.5):
            raise failure(fate)
        if fate in {"burned", "lost_burn"}:
            self.jobs.setdefault(job, "burned")
        if self.jobs.get(job) is None:
            self.jobs[job] = "done"
            self.copies.update(record.seq for record in batch.records)
        if fate in {"lost", "lost_burn", "bug", "partial"}:
            raise failure(fate)
        if self.jobs[job] == "burned":
            raise self._ended(len(batch.records), rng)
        return job

    def _ended(self, count: int, rng: Random) -> SinkError:
        """A job's errors name no row, or some, or only say that a row is at fault."""
        ending = rng.randrange(3)
        if ending == 0:
            return Transient("the job ended with errors", applied="no", burned=True)
        if ending == 1:
            return Rejected("a row is at fault", burned=True)
        bad = rng.randrange(count)
        others: dict[int, SinkError] = {i: Transient("not loaded", applied="no") for i in range(count) if i != bad}
        return PartialFailure((), others | {bad: Rejected("a bad row")}, burned=True)


class AtLeastOnce(Simulated):
    """A queue: whatever is sent is in it."""

    def partition(self, record: Record) -> str:
        if note_of(record)["tag"] == self.unnameable:
            raise Rejected("cannot be named", kind="unnameable")
        return ""

    def shape(self) -> Mapping[str, Any]:
        return {}

    def take(self, batch: Batch, fate: Fate, rng: Random) -> str:
        if (error := refusal(fate)) is not None:
            raise error
        count = len(batch.records) if fate != "partial" else rng.randrange(len(batch.records) + 1)
        if fate not in UNAPPLIED:
            self.copies.update(record.seq for record in batch.records[:count])
        if fate == "partial":
            raise PartialFailure(range(count), {})
        if fate not in {"ok", "burned"}:
            raise failure(fate)
        return "queued"


KINDS: dict[str, type[Simulated]] = {"rows": PerRecord, "objects": PerBatch, "loads": LoadJobs, "queue": AtLeastOnce}
ON_CONFLICT = {"rows": "dead_letter", "objects": "version", "loads": "keep", "queue": "version"}


def refusal(fate: Fate) -> SinkError | None:
    """The errors that say that nothing was written."""
    return {
        "no": Transient("not now", applied="no"),
        "misconfigured": Misconfigured("denied"),
        "rejected": Rejected("never"),
    }.get(fate)


def failure(fate: Fate) -> Exception:
    """The errors after which nobody knows."""
    if fate == "bug":
        return RuntimeError("a bug in the sink")
    return Throttled("slower", retry_after=1.0) if fate == "throttled" else Transient("no answer")


def note_of(record: Record) -> dict[str, str]:
    """What the test wrote into a scan's body: its tag, and the group its batch is named by."""
    note: dict[str, str] = msgspec.json.decode(record.body)["note"]
    return note
