"""What is told, look by look."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from support.stepped_clock import SteppedClock

from scribe_export.alerts.event import Event
from scribe_export.alerts.rules import Finding, Status
from scribe_export.alerts.tracker import Standing, Tracker

QUIET = 900.0


class Looks:
    """A tracker, and a clock that goes on by 30 s after each look."""

    def __init__(self, standing: Iterable[Standing] = ()) -> None:
        self.tracker, self.clock = Tracker(QUIET, standing), SteppedClock()

    def see(self, *found: Finding) -> list[Event]:
        events = self.tracker.follow(found, at=self.clock.now(), moment=self.clock.monotonic())
        self.clock.pass_time(30.0)
        return events

    def states(self, *found: Finding) -> list[str]:
        return [event.state for event in self.see(*found)]


def held(status: Status, reason: str = "", lasted: float = 0.0) -> Finding:
    return Finding("destination_held", "archive", status, reason, lasted)


def dead(count: int) -> Finding:
    return Finding("dead_letters", "archive", "bad" if count else "well", f"dead letters: {count}", count=count)


def test_it_is_raised_once_and_cleared_once() -> None:
    looks = Looks()
    began = looks.clock.now() - 60
    assert looks.see(held("unclear")) == []
    told = [looks.see(held("bad", f"look {number}", 90.0 + 30 * number)) for number in range(20)]
    assert told[0] == [Event("destination_held", "archive", "raised", "look 0", since=began, at=began + 90)]
    assert told[1:] == [[]] * 19
    cleared = looks.see(held("well", "it is well"))
    assert cleared == [Event("destination_held", "archive", "cleared", "it is well", since=began, at=began + 690)]
    assert looks.see(held("well")) == []


def test_what_is_unclear_stays_as_it_is() -> None:
    looks = Looks()
    assert looks.see(held("unclear")) == []
    assert looks.states(held("bad")) == ["raised"]
    assert looks.see(held("unclear")) == []
    assert looks.see(held("bad")) == []
    assert looks.states(held("well")) == ["cleared"]


def test_dead_letters_are_told_when_they_grow_and_again_only_after_a_quiet_while() -> None:
    looks = Looks()
    assert looks.see(dead(0)) == []
    first = looks.see(dead(3))
    assert [event.reason for event in first] == ["dead letters: 3"]
    assert [looks.see(dead(count)) for count in range(4, 40)] == [[]] * 36, "they grow all the time"
    for _ in range(29):
        assert looks.see(dead(39)) == []
    again = looks.see(dead(40))
    assert [(event.state, event.reason) for event in again] == [("raised", "dead letters: 40")]
    assert again[0].since == first[0].since
    assert looks.see(dead(20)) == [], "some were replayed"
    for _ in range(30):
        assert looks.see(dead(20)) == []
    assert looks.states(dead(21)) == ["raised"]
    assert looks.states(dead(0)) == ["cleared"]
    assert looks.states(dead(1)) == ["raised"]


def test_after_a_restart_what_still_holds_is_not_told_again_and_the_rest_is_cleared() -> None:
    before = Looks()
    raised = before.see(held("bad"), dead(5), Finding("gap", "api", "bad", "missed"))
    assert len(raised) == 3
    standing = list(before.tracker.standing.values())

    after = Looks(standing)
    events = after.see(held("bad"), dead(0))
    assert [(event.alert, event.state, event.since) for event in events] == [
        ("dead_letters", "cleared", raised[1].since),
        ("gap", "cleared", raised[2].since),
    ], "there is no source of that name any more"
    assert Looks(standing).see(held("unclear"), dead(5), Finding("gap", "api", "unclear")) == []
    assert [event.reason for event in Looks(standing).see(held("bad"), dead(6), Finding("gap", "api", "bad"))] == [
        "dead letters: 6"
    ], "one came between the last look and the end"


def test_a_reason_is_not_longer_than_a_person_reads() -> None:
    [event] = Looks().see(held("bad", "x" * 10_000))
    assert event.reason == "x" * 500


@given(st.lists(st.sampled_from(["bad", "well", "unclear"]), max_size=60))
def test_changes_take_turns_and_end_as_things_are(statuses: list[Status]) -> None:
    looks = Looks()
    told = [state for status in statuses for state in looks.states(held(status))]
    assert told == ["raised", "cleared"] * (len(told) // 2) + ["raised"] * (len(told) % 2)
    assert looks.states(held("well")) == ["cleared"] * (len(told) % 2)
