"""What arrives when nothing goes wrong."""

from collections.abc import Sequence

import anyio
import pytest

from scribe_export.errors import Rejected
from scribe_export.interface import Sink
from scribe_export.model import Encoded, Record
from scribe_export.testing.destination import Destination
from scribe_export.testing.expect import expect
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sealing import encode, opened, seal_one, send, send_all
from scribe_export.testing.sink_fixtures import (
    LARGEST_TRIED,
    MakeRecords,
    MakeSink,
    SinkFixtures,
    expect_held,
    held,
)

ODD_IDS = (
    "../x",
    "..",
    ".",
    "../../../../tmp/x",
    "/etc/x",
    "a/b",
    "a\\b",
    "a b",
    "a\nb",
    "a\tb",
    "a%2Fb",
    "a~2Fb",
    "a?b#c",
    "Ångström-日本-🪵",
    "e\N{COMBINING ACUTE ACCENT}",
    "é",
    "{scan_id}",
    "'; DROP TABLE scans; --",
    "-rf",
    "CON",
    "x" * 255,
    "x" * 256,
    "木" * 256,
)
"""Ids that a scanner may give and a careless sink mistakes for a path, a pattern, a command or each other."""


class SinkArrival(SinkFixtures):
    """Returning from `write` acks every record: it is durable at the destination."""

    def test_a_record_arrives_as_it_was_sent(
        self, sink: MakeSink, destination: Destination, records: MakeRecords
    ) -> None:
        async def check() -> None:
            [record] = records(1)
            async with opened(sink()) as subject:
                answer = await send(subject, seal_one(subject, [record]))
            expect(answer is None or isinstance(answer, str), f"write returned {answer!r}; it may return text or None")
            await expect_held(destination, [record], subject, "one record written and the sink closed")
            [found, *_] = await anyio.to_thread.run_sync(destination.bodies, record.scan_id)
            expect(self.same_body(record, found), f"the body came back changed: {found[:200]!r}")

        anyio.run(check)

    def test_the_effect_is_there_when_write_returns(
        self, sink: MakeSink, destination: Destination, records: MakeRecords
    ) -> None:
        async def check() -> None:
            sent = records(1)
            async with opened(sink()) as subject:
                await send_all(subject, sent)
                found = await held(destination)
            expect(found, "write returned before the record was there: an ack may not run ahead of its effect")

        anyio.run(check)

    def test_a_full_batch_arrives(self, sink: MakeSink, destination: Destination, records: MakeRecords) -> None:
        async def check() -> None:
            async with opened(sink()) as subject:
                sent = records(min(subject.limits.max_records or 200, 1000))
                await send_all(subject, _within(subject.limits.max_bytes, sent))
            await expect_held(
                destination, _within(subject.limits.max_bytes, sent), subject, f"a batch of {len(sent)} records written"
            )

        anyio.run(check)

    def test_a_batch_of_the_most_bytes_arrives(self, sink: MakeSink, destination: Destination) -> None:
        limits = sink().limits
        if limits.max_bytes is None or limits.max_bytes > LARGEST_TRIED:
            pytest.skip("the sink declares no max_bytes that could be tried")  # or it would fill the memory
        largest = min(limits.max_record_bytes or limits.max_bytes, limits.max_bytes)
        count = min(limits.max_records or 1000, -(-limits.max_bytes // largest))
        size = min(largest, limits.max_bytes // count)

        async def check() -> None:
            sent = [make_record(n, seq=n, body=scan_body(n, size=size)) for n in range(1, count + 1)]
            async with opened(sink()) as subject:
                await send_all(subject, sent)
            await expect_held(destination, sent, subject, f"a batch of {count} records of {size} bytes written")

        anyio.run(check)

    def test_concurrent_writes_all_arrive(self, sink: MakeSink, destination: Destination, records: MakeRecords) -> None:
        async def check() -> None:
            async with opened(sink()) as subject:
                sent = records(8)
                async with anyio.create_task_group() as tasks:
                    for record in sent:
                        tasks.start_soon(send_all, subject, [record])
            await expect_held(destination, sent, subject, "eight batches written at once")

        anyio.run(check)

    def test_odd_ids_stay_apart_and_inside(self, sink: MakeSink, destination: Destination) -> None:
        async def check() -> None:
            odd = [make_record(scan_id, seq=n) for n, scan_id in enumerate(ODD_IDS, start=1)]
            taken = []
            async with opened(sink()) as subject:
                for record in odd:
                    try:
                        batch = seal_one(subject, [record])
                    except Rejected:
                        continue
                    encoded = await encode(subject, batch)
                    if not encoded.refused:
                        await self._write_odd(subject, encoded)
                        taken.append(record)
            await expect_held(destination, taken, subject, "ids like ../x written")
            strays = await anyio.to_thread.run_sync(destination.strays)
            expect(not strays, f"a scan's id led out of the destination: {list(strays)[:3]}")

        anyio.run(check)

    async def _write_odd(self, subject: Sink, encoded: Encoded) -> None:
        try:
            await subject.write(encoded)
        except Exception as error:
            raise AssertionError(
                f"scan {encoded.batch.records[0].scan_id!r:.60} was encoded and then raised {type(error).__name__}: "
                f"{error}; refuse in encode what cannot be written, and let no two ids share a name"
            ) from error


def _within(max_bytes: int | None, records: Sequence[Record]) -> Sequence[Record]:
    kept, total = [], 0
    for record in records:
        total += len(record.body)
        if max_bytes is not None and total > max_bytes:
            break
        kept.append(record)
    return kept
