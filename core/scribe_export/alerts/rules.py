"""When something is worth a person's attention; each rule a function of what was seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scribe_export.alerts.event import Alert
from scribe_export.alerts.options import AlertOptions
from scribe_export.alerts.seen import DestinationSeen, JournalSeen, Seen, SourceSeen

_RESTS = 2
"""Rests of a breaker in which a trial call is made at the end of the first, and has time to end well in the second."""


Status = Literal["bad", "well", "unclear"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`unclear` leaves the alert as it is. For `lasted` seconds it has been so; `count` is told again when it grows."""

    alert: Alert
    name: str
    status: Status
    reason: str = ""
    lasted: float = 0.0
    count: int = 0


def findings(seen: Seen, options: AlertOptions) -> Iterator[Finding]:
    """One for every alert that there can be now."""
    for destination in seen.destinations:
        yield _held(destination, options)
        yield _backlog(destination, options)
        yield _dead_letters(destination.name, destination.dead, "dead letters")
    for source in seen.sources:
        yield _source_stopped(source, seen.moment)
        yield _source_held(source, seen.moment, options)
        yield _gap(source, seen.moment, options)
        if source.silent_after is not None:
            yield _silent(source, seen.moment, source.silent_after)
    yield _dead_letters("", seen.journal.unplaced, "bodies that were no scans, or requests that failed")
    yield _journal_full(seen.journal)


def _held(seen: DestinationSeen, options: AlertOptions) -> Finding:
    if seen.held is None:
        return Finding("destination_held", seen.name, "well", "it takes scans again")
    long = seen.held >= max(options.held_for, _RESTS * seen.rest)
    reason = seen.reason or "nothing gets through"
    return Finding("destination_held", seen.name, "bad" if long else "unclear", reason, seen.held)


def _backlog(seen: DestinationSeen, options: AlertOptions) -> Finding:
    if seen.oldest is None:
        return Finding("backlog_old", seen.name, "well", "nothing waits")
    reason = f"the oldest scan that is not delivered came {lasting(seen.oldest)} ago"
    late = seen.oldest - seen.max_age
    # Half of it, so that a backlog that stays about as old does not change state all the time.
    well = late <= options.backlog_age / 2
    status: Status = "bad" if late > options.backlog_age else "well" if well else "unclear"
    return Finding("backlog_old", seen.name, status, reason, seen.oldest)


def _dead_letters(name: str, count: int, what: str) -> Finding:
    if not count:
        return Finding("dead_letters", name, "well", "all were replayed or discarded")
    return Finding("dead_letters", name, "bad", f"{what}: {count}; see: scribe-export dlq list", count=count)


def _source_stopped(seen: SourceSeen, moment: float) -> Finding:
    if seen.stopped:
        return Finding("source_stopped", seen.name, "bad", seen.stopped)
    well = seen.ended or seen.hearing.read_at is not None or seen.hearing.calm(moment)
    return Finding("source_stopped", seen.name, "well" if well else "unclear", "it is read again")


def _source_held(seen: SourceSeen, moment: float, options: AlertOptions) -> Finding:
    hearing = seen.hearing
    if seen.stopped or seen.ended:
        return Finding("source_held", seen.name, "well", "it is not read any more")
    if hearing.calm(moment) or (hearing.failing_since is None and hearing.read_at is not None):
        return Finding("source_held", seen.name, "well", "it is read again")
    if hearing.failing_since is None or min(moment, hearing.retry_at) - hearing.failing_since < options.held_for:
        return Finding("source_held", seen.name, "unclear")
    return Finding("source_held", seen.name, "bad", hearing.reason, moment - hearing.failing_since)


def _silent(seen: SourceSeen, moment: float, limit: float) -> Finding:
    if seen.ended:
        return Finding("source_silent", seen.name, "well", "it came to its end")
    heard = seen.hearing.took_at
    silence = moment - (seen.hearing.began if heard is None else heard)
    if silence > limit and not seen.stopped:
        return Finding("source_silent", seen.name, "bad", f"nothing came for {lasting(silence)}", silence)
    well = heard is not None and not seen.stopped
    return Finding("source_silent", seen.name, "well" if well else "unclear", "something came")


def _gap(seen: SourceSeen, moment: float, options: AlertOptions) -> Finding:
    since = seen.hearing.began if seen.gap is None else seen.gap.at
    if moment - since >= options.quiet:
        return Finding("gap", seen.name, "well", f"no other for {lasting(options.quiet)}; what was missed stays missed")
    if seen.gap is None:
        return Finding("gap", seen.name, "unclear")
    return Finding("gap", seen.name, "bad", seen.gap.what, moment - since)


def _journal_full(seen: JournalSeen) -> Finding:
    if seen.full:
        return Finding("journal_full", "", "bad", seen.full)
    return Finding("journal_full", "", "well" if seen.roomy else "unclear", "there is room again")


def lasting(seconds: float) -> str:
    """A time as people say it: 45 s, 17 min, 3 h, 4 d."""
    for unit, size, next_size in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < next_size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
