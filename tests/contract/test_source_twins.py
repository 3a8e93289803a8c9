"""Sources that lie in one way each: the check written for that lie notices, and no other does."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import anyio
import pytest
from support.twins import Twin, Twins, failed, verdicts

from scribe_export.errors import Transient
from scribe_export.interface import Checkpoint, Context
from scribe_export.model import Answer, Delivery
from scribe_export.options import Options
from scribe_export.testing.memory import MemoryFeed, MemorySource, MemorySourceOptions
from scribe_export.testing.source_contract import SourceContract
from scribe_export.testing.source_driver import Notes

TWINS = Twins(SourceContract)
lie = TWINS.caught_by


class Impatient(SourceContract):
    patience: ClassVar[float] = 0.25


class DeliveriesOf(MemorySource):
    """The honest source's deliveries, for a liar to change."""

    def honest(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        return MemorySource.deliveries(self, checkpoint)


@lie("close_is_safe_twice_and_before_open")
class ClosesOnceOnly(MemorySource):
    is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        if not self.is_open:
            raise RuntimeError("not open")
        self.is_open = False


@lie("every_scan_arrives_once_as_it_was_put")
class ReformatsBodies(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        async for delivery in self.honest(checkpoint):
            yield replace(delivery, incoming=[replace(body, body=body.body + b" ") for body in delivery.incoming])


@lie("it_returns_when_asked_for_what_is_there")
class NeverReturns(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        async for delivery in self.honest(checkpoint):
            yield delivery
        await anyio.sleep_forever()


@lie("a_restart_after_each_commit_loses_and_repeats_nothing")
class CountsFromItsOwnStart(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        read = 0
        async for delivery in self.honest(checkpoint):
            read += len(delivery.incoming)
            yield replace(delivery, checkpoint={"position": str(read)})


@lie(
    "a_restart_after_each_commit_loses_and_repeats_nothing",
    "what_was_not_committed_comes_again",
    "what_was_nacked_comes_again",
    "scans_that_come_between_two_runs_are_found",
)
class SkipsOneOnResume(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        async for delivery in self.honest(checkpoint):
            yield replace(delivery, checkpoint={"position": str(int(delivery.checkpoint["position"] or 0) + 1)})


class Queue(MemoryFeed):
    """A feed that remembers what was removed from it."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: set[bytes] = set()


class QueueSource(DeliveriesOf):
    """Honest, and resumes by what was acked instead of by checkpoints."""

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        assert isinstance(self.feed, Queue)
        queue = self.feed
        async for delivery in self.honest(Notes()):
            fresh = [incoming for incoming in delivery.incoming if incoming.body not in queue.removed]
            bodies = {incoming.body for incoming in fresh}
            if fresh:
                self.read(queue, bodies)
                yield Delivery(fresh, ack=partial(self.acked, queue, bodies), nack=partial(self.nacked, queue, bodies))

    def read(self, queue: Queue, bodies: set[bytes]) -> None:
        """Nothing yet: it may not be committed."""

    async def acked(self, queue: Queue, bodies: set[bytes]) -> None:
        queue.removed |= bodies

    async def nacked(self, queue: Queue, bodies: set[bytes]) -> None:
        """Nothing: it stays."""


@lie("what_was_not_committed_comes_again")
class RemovesWhatItReads(QueueSource):
    def read(self, queue: Queue, bodies: set[bytes]) -> None:
        queue.removed |= bodies

    async def nacked(self, queue: Queue, bodies: set[bytes]) -> None:
        queue.removed -= bodies


class MessageOptions(MemorySourceOptions):
    @property
    def acknowledging(self) -> bool:
        return True


class MessageSource(QueueSource):
    """Honest, and answers for each message."""

    options_type: ClassVar[type[Options]] = MessageOptions

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        assert isinstance(self.feed, Queue)
        async for delivery in QueueSource.deliveries(self, checkpoint):
            yield replace(delivery, answer=partial(self.answered, self.feed, delivery))

    async def answered(self, queue: Queue, delivery: Delivery, places: Sequence[int], said: Answer) -> None:
        if said == "ack":
            queue.removed |= {delivery.incoming[place].body for place in places}


@lie("messages_are_answered_for_one_by_one")
class AcksAllForOne(MessageSource):
    async def answered(self, queue: Queue, delivery: Delivery, places: Sequence[int], said: Answer) -> None:
        queue.removed |= {incoming.body for incoming in delivery.incoming}


@lie("messages_are_answered_for_one_by_one")
class ForgetsToAnswer(MessageSource):
    async def answered(self, queue: Queue, delivery: Delivery, places: Sequence[int], said: Answer) -> None:
        """Nothing is removed."""


@lie("messages_are_answered_for_one_by_one")
class CannotAnswer(MessageSource):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        async for delivery in QueueSource.deliveries(self, checkpoint):
            yield delivery


@lie("what_was_nacked_comes_again")
class TakesANackForAnAck(QueueSource):
    async def nacked(self, queue: Queue, bodies: set[bytes]) -> None:
        queue.removed |= bodies


@lie("what_was_nacked_comes_again")
class BreaksOnANack(QueueSource):
    async def nacked(self, queue: Queue, bodies: set[bytes]) -> None:
        raise RuntimeError("no nack expected")


@lie("scans_that_come_between_two_runs_are_found")
class ReadsOnlyWhatTheFirstRunSaw(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        end = (await checkpoint.get(["end"])).get("end", str(len(self.feed.bodies)))
        async for delivery in self.honest(checkpoint):
            if self.context.once and int(delivery.incoming[-1].origin.removeprefix("feed:")) >= int(end):
                return
            yield replace(delivery, checkpoint={**delivery.checkpoint, "end": end})


@lie("scans_that_come_while_it_runs_are_found")
class NeverLooksAgain(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        there = len(self.feed.bodies)
        async for delivery in self.honest(checkpoint):
            yield delivery
            if int(delivery.incoming[-1].origin.removeprefix("feed:")) + 1 >= there:
                return


@lie("a_running_source_ends_when_it_is_cancelled_and_closed")
class TakesItsTimeToStop(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        try:
            async for delivery in self.honest(checkpoint):
                yield delivery
        finally:
            if not self.context.once:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(3 * Impatient.patience)


@lie("a_service_that_is_down_is_said_and_survived")
class TakesAnOutageForTheEnd(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        try:
            async for delivery in self.honest(checkpoint):
                yield delivery
        except Transient:
            return


@lie("a_service_that_is_down_is_said_and_survived")
class LetsTheClientsErrorsOut(DeliveriesOf):
    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        try:
            async for delivery in self.honest(checkpoint):
                yield delivery
        except Transient as error:
            raise ConnectionRefusedError(str(error)) from error


@lie("a_service_that_is_down_is_said_and_survived")
class NeverRecoversFromAnOutage(DeliveriesOf):
    broken = False

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        if self.broken:
            raise Transient("still broken")
        try:
            async for delivery in self.honest(checkpoint):
                yield delivery
        except Transient:
            self.broken = True
            raise


def fixtures_of(make: type[MemorySource]) -> Mapping[str, Any]:
    feed = Queue()
    options = make.options_type.model_validate({"max_records": 2})
    assert isinstance(options, MemorySourceOptions)
    return {
        "source": lambda *, once: make(options, Context("twin", once=once), feed=feed),
        "put": feed.put,
        "faults": feed.faults(),
    }


@pytest.mark.parametrize("honest", [MemorySource, QueueSource, MessageSource])
def test_the_honest_sources_pass_every_check_and_skip_none_that_is_theirs(honest: type[MemorySource]) -> None:
    found = verdicts(SourceContract(), lambda: fixtures_of(honest))
    skipped = set() if honest is MessageSource else {"messages_are_answered_for_one_by_one"}
    assert found == {name: "skipped" if name in skipped else "passed" for name in found}


def test_every_check_has_a_liar_that_it_was_written_for() -> None:
    assert TWINS.uncaught_checks() == set()


@pytest.mark.parametrize("twin", TWINS.all, ids=lambda twin: twin.make.__name__)
def test_a_lying_source_is_caught_by_its_check_and_no_other(twin: Twin) -> None:
    found = verdicts(Impatient(), lambda: fixtures_of(twin.make))
    assert failed(found) == {twin.caught_by, *twin.also}, found
