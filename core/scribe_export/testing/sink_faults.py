"""What a sink says when its service fails."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

import anyio
import pytest

from scribe_export.errors import Misconfigured, PartialFailure, SinkError, Transient
from scribe_export.interface import Sink
from scribe_export.model import Record
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.expect import expect, known_errors
from scribe_export.testing.sealing import opened, seal, seal_one, send, send_all
from scribe_export.testing.sink_fixtures import (
    MakeRecords,
    MakeSink,
    SinkFixtures,
    during,
    expect_held,
    held,
    needs,
)


class SinkFaults(SinkFixtures):
    """A sink raises what happened, by the closed set of errors, and leaves what to do about it to the lane."""

    def test_a_service_that_is_down_acks_nothing(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        down = needs(faults.down, "down", faults.withheld)

        async def check() -> None:
            async with opened(sink()) as subject:
                sent = _some(records, subject, 2)
                async with during(down):
                    for batch in seal(subject, sent):
                        await self._expect_no_ack(subject, batch.records)
                expect(not await held(destination), "the fixture's fault `down` lets requests through")
                await send_all(subject, sent, attempt=2)
            await expect_held(destination, sent, subject, "the batch written again once the service was back")

        anyio.run(check)

    async def _expect_no_ack(self, subject: Sink, sent: Sequence[Record]) -> None:
        with known_errors("write, with the service down,") as caught:
            for batch in seal(subject, sent):
                await send(subject, batch)
        expect(caught.error, "write acked a batch while the service was down")
        if isinstance(caught.error, PartialFailure):
            expect(not caught.error.acked, "write acked part of a batch while the service was down")
            errors: Sequence[SinkError] = list(caught.error.errors.values())
        else:
            errors = [caught.error] if caught.error else []
        for error in errors:
            expect(
                isinstance(error, Transient | Misconfigured),
                f"a service that is down is not a reason for {type(error).__name__}, which gives the record up",
            )

    def test_denied_credentials_are_misconfigured(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        deny = needs(faults.deny, "deny", faults.withheld)

        async def check() -> None:
            async with opened(sink()) as subject:
                sent = records(1)
                async with during(deny):
                    with known_errors("write, with the credentials denied,") as caught:
                        await send_all(subject, sent)
                expect(
                    isinstance(caught.error, Misconfigured),
                    f"write raised {caught.error!r}; a denial is Misconfigured, so that the lane holds what it has",
                )
                await send_all(subject, sent, attempt=2)
            await expect_held(destination, sent, subject, "the batch written again once it was allowed")

        anyio.run(check)

    def test_write_does_not_retry(self, sink: MakeSink, records: MakeRecords, faults: Faults) -> None:
        down = needs(faults.down, "down", faults.withheld)
        requests = needs(faults.requests, "requests", faults.withheld)

        async def check() -> None:
            async with opened(sink()) as subject:
                first, second = records(2)
                start = requests()
                await send_all(subject, [first])
                healthy = max(1, requests() - start)
                async with during(down):
                    start = requests()
                    with suppress(Exception):  # what it raises is judged elsewhere
                        await send_all(subject, [second])
                    failing = requests() - start
            expect(failing, "the fixture's hook `requests` did not see the attempt that failed")
            expect(
                failing <= healthy,
                f"write made {failing} requests where {healthy} do: it retries inside; only the lane retries",
            )

        anyio.run(check)

    def test_a_lost_answer_is_unknown_and_a_repeat_mends_it(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        lose_answers = needs(faults.lose_answers, "lose_answers", faults.withheld)

        async def check() -> None:
            async with opened(sink()) as subject:
                sent = records(1)
                async with during(lose_answers):
                    with known_errors("write, with its answer lost,") as caught:
                        await send_all(subject, sent)
                expect(await held(destination), "the fixture's fault `lose_answers` lost the request too")
                for error in _each(caught.error):
                    expect(
                        error.applied == "unknown",
                        f"write raised {type(error).__name__} with applied='no', and the record is at the destination",
                    )
                await send_all(subject, sent, attempt=2)
            await expect_held(destination, sent, subject, "the batch written again after its answer was lost")

        anyio.run(check)

    def test_a_failed_record_is_reported_and_the_others_acked(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        most = sink().limits.max_records
        if most == 1:
            pytest.skip("the sink takes one record at a time")  # a batch of one cannot fail in part
        if self.cannot_partially_fail:
            # The author has said so, with a reason, which is printed; without one the check is mandatory.
            pytest.skip(f"the service takes a batch whole: {self.cannot_partially_fail}")  # the author's own reason
        if faults.refuse is None and faults.withheld:
            pytest.skip(faults.withheld)  # a real service cannot be told to fail; the local one shows what it does then
        if faults.refuse is None:
            raise AssertionError(
                "a sink of several records a batch must show what it does when one of them fails: give the fixture "
                "`faults` a hook `refuse`, or set `cannot_partially_fail` to the reason why that cannot happen"
            )
        refuse = faults.refuse

        async def check() -> None:
            async with opened(sink()) as subject:
                sent = _some(records, subject, 3)
                bad = len(sent) // 2
                caught = await self._write_with_one_refused(subject, sent, partial(refuse, sent[bad]))
                found = await held(destination)
                expect(sent[bad].scan_id not in found, "the fixture's fault `refuse` let the record through")
                expect(
                    bad not in caught.acked,
                    f"PartialFailure acks record {bad}, which the service did not take",
                )
                expect(bad in caught.errors, f"PartialFailure names {sorted(caught.errors)}, and {bad} is what failed")
                missing = [index for index in caught.acked if sent[index].scan_id not in found]
                expect(not missing, f"PartialFailure acks records {missing}, which are not at the destination")
                others = set(range(len(sent))) - {bad}
                expect(
                    caught.acked == others, f"the service took records {sorted(others)}, acked {sorted(caught.acked)}"
                )
                again = [sent[bad]] if subject.identity == "record" else sent
                await send_all(subject, again, attempt=2)
            await expect_held(destination, sent, subject, "the failed record written again")

        anyio.run(check)

    async def _write_with_one_refused(
        self, subject: Sink, sent: Sequence[Record], refuse: Callable[[], AbstractContextManager[object]]
    ) -> PartialFailure:
        async with during(refuse):
            with known_errors("write, with one record failing,") as caught:
                await send(subject, seal_one(subject, sent))
        expect(caught.error, "write acked a batch of which the service failed one record")
        if isinstance(caught.error, PartialFailure):
            return caught.error
        raise AssertionError(
            f"write raised {type(caught.error).__name__} for the whole batch, and its other records are written: "
            "raise PartialFailure with what was acked"
        )


def _some(records: MakeRecords, sink: Sink, count: int) -> Sequence[Record]:
    return records(min(count, sink.limits.max_records or count))


def _each(error: SinkError | None) -> Sequence[SinkError]:
    if isinstance(error, PartialFailure):
        return list(error.errors.values())
    return [error] if error else []
