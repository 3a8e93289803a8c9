"""What waits for the webhook."""

from typing import Literal

from scribe_export.alerts.event import Event
from scribe_export.alerts.outbox import Outbox


def event(state: Literal["raised", "cleared"], name: str = "archive", at: float = 0.0) -> Event:
    return Event("destination_held", name, state, "", 0.0, at)


def test_what_came_and_went_before_anybody_could_hear_of_it_is_not_told() -> None:
    outbox = Outbox()
    outbox.put(event("raised"))
    outbox.put(event("cleared"))
    assert outbox.waiting == []
    outbox.put(event("raised"))
    outbox.failed(outbox.begin(), perhaps_told=False)
    outbox.put(event("cleared"))
    assert outbox.waiting == []


def test_what_may_have_been_heard_is_cleared() -> None:
    outbox = Outbox()
    outbox.put(event("raised"))
    outbox.failed(outbox.begin(), perhaps_told=True)
    outbox.put(event("cleared"))
    assert outbox.waiting == [event("cleared")]
    outbox.sent(outbox.begin())
    assert outbox.waiting == []
    assert outbox.told == set()


def test_what_goes_while_it_is_being_told_is_cleared_only_if_it_may_have_been_heard() -> None:
    for perhaps, left in ((True, [event("cleared")]), (False, [])):
        outbox = Outbox()
        outbox.put(event("raised"))
        sending = outbox.begin()
        outbox.put(event("cleared"))
        outbox.failed(sending, perhaps_told=perhaps)
        assert outbox.waiting == left

    outbox = Outbox()
    outbox.put(event("raised"))
    sending = outbox.begin()
    outbox.put(event("cleared"))
    outbox.sent(sending)
    assert outbox.waiting == [event("cleared")]


def test_of_each_only_the_newest_waits_in_order_and_what_failed_goes_last() -> None:
    outbox = Outbox(told=[("destination_held", "archive")])
    outbox.put(event("cleared"))
    outbox.put(event("raised", "lake"))
    outbox.put(event("raised", at=5.0))
    assert outbox.waiting == [event("raised", "lake"), event("raised", at=5.0)]
    outbox.failed(outbox.begin(), perhaps_told=True)
    assert outbox.waiting == [event("raised", at=5.0), event("raised", "lake")]
    sending = outbox.begin()
    outbox.put(event("raised", at=6.0))
    outbox.sent(sending)
    assert outbox.waiting == [event("raised", "lake"), event("raised", at=6.0)], "it tells more than what was sent"


def test_over_a_restart_what_was_told_is_cleared_and_what_waited_may_have_been_told() -> None:
    outbox = Outbox(told=[("destination_held", "archive")], waiting=[event("raised", "lake")])
    outbox.put(event("cleared"))
    outbox.put(event("cleared", "lake"))
    outbox.put(event("cleared", "other"))
    assert outbox.waiting == [event("cleared"), event("cleared", "lake")]
