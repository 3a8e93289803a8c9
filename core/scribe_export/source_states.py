"""How the reading of each source goes, in a word."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scribe_export.clock import Clock

if TYPE_CHECKING:
    from scribe_export.feed import Feed  # `status` reads states without ever reading a source

State = Literal["reading", "held", "stopped", "ended"]
STATES: tuple[State, ...] = ("reading", "held", "stopped", "ended")
SHOWN = 60.0
"""Seconds after the wait for another try within which it would have failed again if it does."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """``held``: it cannot be read just now and is tried again; ``stopped``: it cannot go on until something is mended;
    ``ended``: it was read to its end. `reason` says why. `taken` are bodies journalled since the start, and
    `last_taken_seconds` how long ago the last of them was, None if there was none."""

    name: str
    state: State
    reason: str
    taken: int
    last_taken_seconds: float | None


def source_states(feeds: "Iterable[Feed]", clock: Clock) -> list[SourceState]:
    """Of every source that is read."""
    return [_state(feed, clock.monotonic()) for feed in feeds]


def _state(feed: "Feed", moment: float) -> SourceState:
    hearing = feed.hearing
    held = hearing.failing_since is not None and moment < hearing.retry_at + SHOWN
    state: State = "stopped" if feed.failed else "ended" if feed.ended else "held" if held else "reading"
    reason = feed.failed or (hearing.reason if state == "held" else "")
    ago = None if hearing.took_at is None else moment - hearing.took_at
    return SourceState(feed.name, state, reason, hearing.taken, ago)
