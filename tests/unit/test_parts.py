"""What became of the records of a batch that went out in several requests."""

from collections.abc import Callable, Mapping

import pytest
from support.loop import in_loop

from scribe_export.errors import PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.parts import Limits, Part, Requests, divided

PARTS = [Part((0, 1), "a"), Part((2, 3), "b"), Part((4, 5), "c"), Part((6,), "d")]
Send = Callable[[Part], Mapping[int, SinkError]]


def failing(payload: str, error: SinkError, sent: list[str], *, index: int | None = None) -> Send:
    def send(part: Part) -> Mapping[int, SinkError]:
        sent.append(part.payload)
        if part.payload == payload and index is None:
            raise error
        return {index: error} if index in part.members else {}

    return send


@pytest.mark.parametrize("index", [None, 3])
@in_loop
async def test_in_order_nothing_is_sent_after_what_failed(index: int | None) -> None:
    sent: list[str] = []
    send = failing("b", Throttled("slower", retry_after=3.0), sent, index=index)
    with pytest.raises(PartialFailure) as caught:
        await Requests(send, classify=lambda _: None, concurrency=8, in_order=True).write(PARTS)
    assert sent == ["a", "b"]
    assert caught.value.acked == ({0, 1} if index is None else {0, 1, 2})
    assert {caught.value.errors[index].applied for index in (4, 5, 6)} == {"no"}
    delays = {error.retry_after for error in caught.value.errors.values() if isinstance(error, Transient)}
    assert delays == {3.0}


@in_loop
async def test_in_order_a_record_that_can_never_be_taken_stops_nothing() -> None:
    sent: list[str] = []
    send = failing("b", Rejected("never"), sent, index=2)
    with pytest.raises(PartialFailure) as caught:
        await Requests(send, classify=lambda _: None, concurrency=8, in_order=True).write(PARTS)
    assert sent == ["a", "b", "c", "d"]
    assert set(caught.value.errors) == {2}


@in_loop
async def test_without_order_one_failed_request_does_not_stop_the_others() -> None:
    sent: list[str] = []
    send = failing("a", Transient("lost"), sent)
    with pytest.raises(PartialFailure) as caught:
        await Requests(send, classify=lambda _: None, concurrency=2).write(PARTS)
    assert sorted(sent) == ["a", "b", "c", "d"]
    assert caught.value.acked == {2, 3, 4, 5, 6}
    assert set(caught.value.errors) == {0, 1}


def test_requests_are_cut_by_count_and_by_size() -> None:
    assert list(divided({0: 4, 1: 4, 2: 4, 5: 9, 6: 1}, Limits(2, 9))) == [(0, 1), (2,), (5,), (6,)]
