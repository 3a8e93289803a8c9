"""What a source is doing, in a word, and what of it `status` and the metrics say."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from support.stepped_clock import SteppedClock

from scribe_export.alerts.hearing import Hearing
from scribe_export.feed import Feed
from scribe_export.source_states import SHOWN, SourceState, source_states


@dataclass
class Heard:
    """As much of a feed as is looked at."""

    hearing: Hearing
    name: str = "api"
    failed: str = ""
    ended: bool = False
    clock: SteppedClock = field(default_factory=SteppedClock)

    @property
    def state(self) -> SourceState:
        (state,) = source_states([cast("Feed", self)], self.clock)
        return state


@pytest.fixture
def heard() -> Heard:
    return Heard(Hearing(1000.0))


def test_one_that_brought_nothing_yet_is_being_read(heard: Heard) -> None:
    assert heard.state == SourceState("api", "reading", "", 0, None)


def test_how_much_it_brought_and_when_is_told(heard: Heard) -> None:
    heard.hearing.took(heard.clock.monotonic(), 5)
    heard.hearing.took(heard.clock.monotonic(), 0)
    heard.clock.pass_time(7.0)
    heard.hearing.took(heard.clock.monotonic(), 0)
    assert heard.state == SourceState("api", "reading", "", 5, 7.0)


def test_a_failure_is_told_until_another_would_have_come(heard: Heard) -> None:
    heard.hearing.failed(heard.clock.monotonic(), 10.0, "refused")
    assert (heard.state.state, heard.state.reason, heard.hearing.failures) == ("held", "refused", 1)
    heard.clock.pass_time(10.0 + SHOWN - 1.0)
    assert heard.state.state == "held"
    heard.clock.pass_time(1.0)
    assert (heard.state.state, heard.state.reason) == ("reading", "")


def test_a_delivery_ends_it_at_once(heard: Heard) -> None:
    heard.hearing.failed(heard.clock.monotonic(), 10.0, "refused")
    heard.hearing.took(heard.clock.monotonic(), 0)
    assert heard.state.state == "reading"


def test_one_that_cannot_go_on_has_stopped_and_one_that_was_read_has_ended(heard: Heard) -> None:
    heard.ended = True
    assert heard.state.state == "ended"
    heard.failed = "mend the file"
    assert (heard.state.state, heard.state.reason) == ("stopped", "mend the file")
