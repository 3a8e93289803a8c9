"""Everything that can go wrong, as a closed set.

    ScribeExportError
    ├── ConfigError              the operator's file is wrong: all its problems, each at its place (exit 2)
    ├── ConnectorUnavailable     no connector of that name, or its SDK is missing: the message says what to do (exit 2)
    ├── StateOwned               another process holds the state folder (exit 3)
    ├── JournalError             the journal cannot be used (exit 4)
    │   ├── JournalFull          the quota or the disk is full: nothing was written
    │   ├── JournalTooNew        written by a newer release
    │   └── JournalUnusable      a commit's outcome is unknown, or the file is damaged: the process stops
    ├── SourceError              a source cannot go on and says why
    ├── Undelivered              with `buffer: none`: not every destination confirmed a scan
    ├── InvalidScan              a body that is no scan: it is dead-lettered with its bytes
    └── SinkError                what `Sink.write` and `Connector.open` may raise; each says if it was `applied`
        ├── Transient            try again, with backoff
        │   ├── Throttled        the same, and send less at a time
        │   └── BreakerOpen      not sent at all: the circuit breaker gives the service a rest
        ├── Rejected             this record can never be accepted: dead letter at once
        │   └── Conflict         the name holds other content: the destination's `on_conflict` decides
        ├── Misconfigured        credentials, missing bucket, denied: hold everything, charge nothing
        └── PartialFailure       some records acked, some failed, the rest unknown

Anything else that a sink raises is a bug in it: a few attempts, then a dead letter of class ``bug``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from scribe_export.redaction import redacted

Applied = Literal["no", "unknown"]


class ScribeExportError(Exception):
    """The root of this project's errors; no message of one holds a secret of the config."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is and what to do about it."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        return f"{where}{self.path}: {self.message}" if self.path else where + self.message


class ConfigError(ScribeExportError):
    """The operator's file is wrong; `problems` holds every mistake found, in the file's order."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column, p.path))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConnectorUnavailable(ScribeExportError):
    """No connector has that name, or what it needs is not installed; the message says what to do."""


class StateOwned(ScribeExportError):
    """Another process holds the state folder; the message names it."""


class JournalError(ScribeExportError):
    """The journal cannot be used."""


class JournalFull(JournalError):
    """The quota or the disk is full; the command changed nothing."""


class JournalTooNew(JournalError):
    """The journal was written by a newer release; the message names both versions."""


class JournalUnusable(JournalError):
    """A commit's outcome is unknown, or the file is damaged: stop, and let the next start recover."""


class SourceError(ScribeExportError):
    """A source cannot go on; the message says what to do."""


class InvalidScan(ScribeExportError):
    """A body that is not a scan; the message says why."""


class Undelivered(ScribeExportError):
    """With `buffer: none`: not every destination has confirmed a scan, and nothing remembers it; the message says why."""


class SinkError(ScribeExportError):
    """A delivery that was not confirmed.

    `applied` is ``"unknown"`` unless the caller knows that nothing was written. `burned` says that the service
    has used up the batch's name without effect at any attempt (a failed load job): the next attempt gets a new
    generation, and what was unknown of earlier attempts is known now.
    """

    kind = "error"

    def __init__(self, message: str, *, applied: Applied = "unknown", burned: bool = False) -> None:
        super().__init__(message)
        self.applied: Applied = applied
        self.burned = burned


class Transient(SinkError):
    """Worth another try; not before `retry_after` seconds if the service named a delay.

    A failure to be told from others has a `kind` of its own: the dead letter's class, if it comes to that.
    """

    kind = "transient"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        applied: Applied = "unknown",
        burned: bool = False,
        kind: str | None = None,
    ) -> None:
        super().__init__(message, applied=applied, burned=burned)
        self.retry_after = retry_after
        if kind is not None:
            self.kind = redacted(kind)


class Throttled(Transient):
    """The service asks for less: backoff, and the lane narrows its concurrency."""

    kind = "throttled"


class BreakerOpen(Transient):
    """The circuit breaker let nothing through; `retry_after` is the seconds until it lets one call try."""

    kind = "breaker_open"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after, applied="no")


class Rejected(SinkError):
    """This record can never be accepted; `kind` becomes the dead letter's class."""

    kind = "rejected"

    def __init__(self, message: str, *, kind: str = "rejected", burned: bool = False) -> None:
        super().__init__(message, applied="no", burned=burned)
        self.kind = redacted(kind)


class Conflict(Rejected):
    """The record's name already holds other content."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="conflict")


class Misconfigured(SinkError):
    """The operator has to act (credentials, missing bucket, denied); nothing is dead-lettered meanwhile."""

    kind = "misconfigured"

    def __init__(self, message: str) -> None:
        super().__init__(message, applied="no")


class PartialFailure(SinkError):
    """Some records of the batch were confirmed, others failed, each by its index; a record in neither is unknown."""

    kind = "partial"

    def __init__(
        self, acked: Collection[int], errors: Mapping[int, SinkError], *, answer: str = "", burned: bool = False
    ) -> None:
        first = next(iter(errors.values()), None)
        message = f"{len(errors)} records failed, first: {first}" if first else "some records unconfirmed"
        super().__init__(message, burned=burned)
        self.acked = frozenset(acked)
        self.errors = dict(errors)
        self.answer = redacted(str(answer))
