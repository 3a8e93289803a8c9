"""What a subclass of the sink contract gives, and how its checks run."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, ClassVar, Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec
import pytest

from scribe_export.interface import Sink
from scribe_export.model import EffectClass, Record
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.expect import expect
from scribe_export.testing.records import make_record, make_records, scan_body
from scribe_export.testing.sealing import PLACES

Hook = TypeVar("Hook", bound=Callable[..., Any])
MakeSink = Callable[[], Sink]
MakeRecords = Callable[[int], Sequence[Record]]

LARGEST_TRIED = 16 * 1024 * 1024  # a claim above it is taken on trust: it would make the suite slow


class SinkFixtures:
    """The fixtures `sink` and `destination` are a subclass's own; the others have defaults."""

    body: ClassVar[Literal["bytes", "json"]] = "bytes"
    """How the destination keeps a body: byte for byte, or as the same JSON."""
    cannot_partially_fail: ClassVar[str] = ""
    """Why the service takes a batch whole or not at all; empty if it may take part of one."""
    patience: ClassVar[float] = 30.0
    """Seconds after which a call that should have returned is taken to hang."""

    @pytest.fixture(autouse=True)
    def _no_places(self) -> None:
        PLACES.clear()

    @pytest.fixture
    def sink(self) -> MakeSink:
        """Makes a fresh, unopened sink with the same options and destination at each call."""
        raise NotImplementedError("give a fixture `sink` that makes a fresh, unopened sink at each call")

    @pytest.fixture
    def destination(self) -> Destination:
        """Observes what the destination of `sink` holds; empty when a check starts."""
        raise NotImplementedError("give a fixture `destination` that observes what the service holds")

    @pytest.fixture
    def records(self) -> MakeRecords:
        """Makes so many records that may share a batch."""
        return make_records

    @pytest.fixture
    def reshaped(self) -> MakeSink | None:
        """Makes a sink on the same destination whose naming and encoding options differ; needed if `shape` says any."""
        return None

    @pytest.fixture
    def unacceptable(self, sink: MakeSink) -> Record | None:
        """A record that `encode` must refuse; one twice too large, where the sink's limits know that."""
        largest = sink().limits.max_record_bytes
        if largest is None or largest > LARGEST_TRIED:
            return None
        return make_record("too-large", seq=900, body=scan_body("too-large", size=2 * largest + 1000))

    @pytest.fixture
    def faults(self) -> Faults:
        """What can be done to the service."""
        return Faults()

    def same_body(self, record: Record, found: bytes) -> bool:
        """Whether the destination gave back what it was given, as far as `body` promises."""
        if self.body == "bytes":
            return found == record.body
        return bool(msgspec.json.decode(found) == msgspec.json.decode(record.body))


async def held(destination: Destination) -> Mapping[str, int]:
    """The effects, read in a worker thread."""
    return await anyio.to_thread.run_sync(destination.effects)


async def expect_held(destination: Destination, records: Sequence[Record], sink: Sink, when: str) -> None:
    """Each record has the number of effects that the sink's class declares, and nothing else is there."""
    counts = await held(destination)
    expected = {record.scan_id for record in records}
    lost = sorted(expected - set(counts))
    expect(not lost, f"{when}: {len(lost)} of {len(expected)} scans are not at the destination, first {lost[:1]}")
    unknown = sorted(set(counts) - expected)
    expect(not unknown, f"{when}: the destination holds {unknown[:3]}, which nobody sent")
    if sink.effect.kind is not EffectClass.AT_LEAST_ONCE:
        doubled = {scan_id: count for scan_id, count in counts.items() if count != 1}
        expect(not doubled, f"{when}: the sink declares {sink.effect.kind.value!r} but effects are doubled: {doubled}")


@asynccontextmanager
async def during(fault: Callable[[], AbstractContextManager[object]]) -> AsyncIterator[None]:
    """A fault that holds within the block."""
    context = await anyio.to_thread.run_sync(fault)
    await anyio.to_thread.run_sync(context.__enter__)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(context.__exit__, None, None, None)


def needs(hook: Hook | None, name: str, withheld: str = "") -> Hook:
    """The hook; skips the check where the fixture cannot bring the fault about, and `withheld` may say why."""
    if hook is None:
        # Not every service can be made to fail in every way; the skip names what was not proved.
        pytest.skip(withheld or f"the fixture `faults` has no hook `{name}`")  # a fault that cannot be brought about
    return hook
