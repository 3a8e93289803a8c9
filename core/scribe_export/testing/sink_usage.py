"""That `usage` says what a write is charged for, the same at every attempt."""

from typing import ClassVar

import anyio
import pytest

from scribe_export.interface import Sink
from scribe_export.model import Usage
from scribe_export.testing.destination import Faults
from scribe_export.testing.expect import expect
from scribe_export.testing.sealing import encode, opened, seal
from scribe_export.testing.sink_encoding import no_network
from scribe_export.testing.sink_fixtures import MakeRecords, MakeSink, SinkFixtures
from scribe_export.usage.prices import load
from scribe_export.usage.units import checked

UNPRICED = frozenset({"requests", "bytes_sent", "stored_bytes"})


class SinkUsage(SinkFixtures):
    """`usage` is asked in the event loop, once for each attempt, and what it says is added up for weeks."""

    own_units: ClassVar[frozenset[str]] = frozenset()
    """Units that only this sink counts, for which an operator may give a price."""
    other_requests: ClassVar[str] = ""
    """What else the fixture's hook `requests` counts than `usage` does; empty if both are the same."""

    def test_usage_is_of_known_units_and_finite(self, sink: MakeSink, records: MakeRecords) -> None:
        known = UNPRICED | load().known.keys() | self.own_units
        for usage in _usages(sink, records):
            amounts = [*usage.tried.items(), *usage.kept.items()]
            unknown = sorted({unit for unit, _ in amounts} - known)
            expect(not unknown, f"usage names {unknown}, which has no price: misspelt, or one of its own_units")
            for part in (usage.tried, usage.kept):
                try:
                    checked(part)
                except (TypeError, ValueError) as error:
                    raise AssertionError(f"usage cannot be added up: {error}") from error
            both = sorted(usage.tried.keys() & usage.kept.keys())
            expect(not both, f"usage counts {both} as tried and as kept; one of both is right")

    def test_usage_is_the_same_each_time(self, sink: MakeSink, records: MakeRecords) -> None:
        first = _usages(sink, records)
        expect(first[::2] == first[1::2], "usage gave other amounts for the same batch a moment later")
        expect(first == _usages(sink, records), "usage gave other amounts for the same batch in a new sink")
        expect(first == _usages(sink, records, attempt=2), "usage gave other amounts for the second attempt at a batch")

    def test_usage_counts_the_requests_that_are_made(
        self, sink: MakeSink, records: MakeRecords, faults: Faults
    ) -> None:
        requests = faults.requests
        if requests is None or self.other_requests:
            why = self.other_requests or faults.withheld or "the fixture `faults` has no hook `requests`"
            pytest.skip(why)  # what nobody counts on the wire, or only together with other requests, proves nothing

        async def check() -> None:
            async with opened(sink()) as subject:
                for batch in seal(subject, records(_some(subject))):
                    encoded = await encode(subject, batch)
                    said = subject.usage(encoded).tried.get("requests")
                    if said is None:
                        pytest.skip("the sink does not count requests")  # it need not
                    before = requests()
                    await subject.write(encoded)
                    made = requests() - before
                    expect(made == said, f"write made {made} requests, and usage says {said:g}")

        anyio.run(check)


def _usages(sink: MakeSink, records: MakeRecords, *, attempt: int = 1) -> list[Usage]:
    """Asked twice of each batch, without a network."""

    async def ask() -> list[Usage]:
        async with opened(sink()) as subject:
            encoded = [subject.encode(batch) for batch in seal(subject, records(_some(subject)), attempt=attempt)]
            with no_network("usage"):
                return [subject.usage(one) for one in encoded for _ in range(2)]

    return anyio.run(ask)


def _some(sink: Sink) -> int:
    return min(3, sink.limits.max_records or 3)
