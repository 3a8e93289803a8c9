"""That `encode` is pure, keeps to the sealed shape, and names what can never be accepted."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from typing import Any
from unittest.mock import patch

import anyio
import pytest

from scribe_export.errors import Rejected
from scribe_export.interface import Sink
from scribe_export.model import Batch, Encoded, Record
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.expect import expect
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sealing import encode, opened, seal, send_all
from scribe_export.testing.sink_fixtures import (
    LARGEST_TRIED,
    MakeRecords,
    MakeSink,
    SinkFixtures,
    expect_held,
)


class SinkEncoding(SinkFixtures):
    """`encode` runs in a worker thread, before `open` too, and gives the same bytes for the same batch."""

    def test_encode_gives_the_same_bytes_each_time(self, sink: MakeSink, records: MakeRecords) -> None:
        subject = sink()
        count = 1 if subject.limits.max_records == 1 else 3
        for first, again in zip(seal(subject, records(count)), seal(subject, records(count), attempt=2), strict=True):
            once = plain(subject.encode(first))
            expect(once == plain(subject.encode(first)), "encode gave other bytes for the same batch a moment later")
            expect(once == plain(sink().encode(again)), "encode gave other bytes for the same batch in a new sink")

    def test_encode_needs_neither_network_nor_open(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        subject = sink()
        before = faults.requests() if faults.requests else 0
        with no_network():
            for batch in seal(subject, records(1)):
                try:
                    subject.encode(batch)
                except Exception as error:
                    raise AssertionError(
                        f"encode of an unopened sink raised {type(error).__name__}: {error}; it must need nothing but "
                        "the batch, and name records that can never be accepted in Encoded.refused"
                    ) from error
        made = (faults.requests() if faults.requests else 0) - before
        expect(not made, f"encode made {made} requests; it may make none")
        expect(not destination.effects(), "encode had an effect at the destination")

    def test_a_sealed_batch_keeps_its_shape_when_options_change(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, reshaped: MakeSink | None
    ) -> None:
        first = sink()
        if reshaped is None:
            expect(
                not first.shape(),
                f"the sink's shape holds {sorted(first.shape())}: give a fixture `reshaped` that makes a sink on the "
                "same destination with other values of these, to show that a sealed batch keeps its own",
            )
            pytest.skip("the sink has no shape")  # nothing names or encodes a batch, so nothing must stay frozen

        async def check() -> None:
            changed = reshaped()
            expect(
                dict(changed.shape()) != dict(first.shape()),
                "the fixture `reshaped` must change the shape, and both sinks have the same",
            )
            sent = records(1 if first.limits.max_records == 1 else 2)
            for batch in seal(first, sent):
                expect(
                    plain(first.encode(batch)) == plain(changed.encode(batch)),
                    "encode reads options that may change after sealing; it must read them from Batch.shape",
                )
                async with opened(sink()) as before, opened(reshaped()) as after:
                    await before.write(await encode(before, batch))
                    await after.write(await encode(after, batch))
            await expect_held(destination, sent, first, "a batch sealed under one shape, repeated under another")

        anyio.run(check)

    def test_refused_records_are_named_and_the_others_go(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, unacceptable: Record | None
    ) -> None:
        if unacceptable is None:
            # Only the sink's author knows which record its service can never take, and many services take them all.
            pytest.skip("see the fixture `unacceptable`: the suite knows of nothing to refuse")  # many take all

        async def check() -> None:
            subject = sink()
            good = records(1 if subject.limits.max_records == 1 else 2)
            batches = [[unacceptable], [*good]] if len(good) == 1 else [[good[0], unacceptable, good[1]]]
            async with opened(subject):
                for members in batches:
                    named = self._refused(subject, members)
                    expect(unacceptable not in members or unacceptable in named, "encode did not name the bad record")
                    expect(
                        all(record is unacceptable for record in named),
                        f"encode refused {[record.scan_id for record in named]}, with its neighbour at fault",
                    )
                await send_all(subject, good)
            await expect_held(destination, good, subject, "the others sealed anew and written")

        anyio.run(check)

    def test_the_largest_record_arrives_and_a_larger_one_is_refused(
        self, sink: MakeSink, destination: Destination
    ) -> None:
        largest = sink().limits.max_record_bytes
        if largest is None or largest > LARGEST_TRIED:
            pytest.skip("the sink declares no max_record_bytes that could be tried")  # or it would fill the memory

        async def check() -> None:
            fits = make_record("largest", seq=1, body=scan_body("largest", size=largest))
            over = make_record("too-large", seq=2, body=scan_body("too-large", size=largest + 1))
            async with opened(sink()) as subject:
                await send_all(subject, [fits])
                expect(self._refused(subject, [over]), f"encode took a record of {largest + 1} bytes, one too many")
            await expect_held(destination, [fits], subject, f"a record of {largest} bytes written")

        anyio.run(check)

    def _refused(self, sink: Sink, members: Sequence[Record]) -> Sequence[Record]:
        refused, named = [], []
        for record in members:
            try:
                sink.partition(record)
            except Rejected:
                refused.append(record)
            else:
                named.append(record)
        for batch in seal(sink, named):
            try:
                reasons = sink.encode(batch).refused
            except Exception as error:
                raise AssertionError(
                    f"encode raised {type(error).__name__}: {error}; it names such records in Encoded.refused"
                ) from error
            for index, reason in reasons.items():
                expect(0 <= index < len(batch.records), f"encode refused record {index} of {len(batch.records)}")
                expect(isinstance(reason, Rejected), f"encode refused a record with {reason!r}, which is no Rejected")
                refused.append(batch.records[index])
        return refused


@contextmanager
def no_network(what: str = "encode") -> Iterator[None]:
    """Make every use of a Python socket by this thread an AssertionError within the block."""
    mine = threading.get_ident()

    def guarded(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            expect(threading.get_ident() != mine, f"{what} used the network")
            return original(*args, **kwargs)

        return call

    with ExitStack() as patches:
        for owner in (socket.socket, ssl.SSLSocket):
            for name in ("connect", "connect_ex", "send", "sendall", "sendto"):
                patches.enter_context(patch.object(owner, name, guarded(getattr(owner, name))))
        patches.enter_context(patch.object(socket, "getaddrinfo", guarded(socket.getaddrinfo)))
        yield


def plain(encoded: Encoded) -> Any:
    """What there is to compare of an encoded batch; objects with no equality of their own compare by their fields."""
    return encoded.size, sorted(encoded.refused), _plain(encoded.payload)


def _plain(value: Any) -> Any:
    if isinstance(value, Batch | Record):
        return value.digest if isinstance(value, Batch) else value.sha256
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [(item.name, _plain(getattr(value, item.name))) for item in fields(value)]
    if isinstance(value, Mapping):
        return [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if hasattr(value, "getvalue"):
        return value.getvalue()
    return value
