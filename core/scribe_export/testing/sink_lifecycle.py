"""What a sink keeps about opening and closing."""

import anyio
import pytest

from scribe_export.errors import Misconfigured, Transient
from scribe_export.model import Encoded
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.expect import expect, known_errors
from scribe_export.testing.sealing import encode, opened, seal, send_all
from scribe_export.testing.sink_fixtures import (
    MakeRecords,
    MakeSink,
    SinkFixtures,
    during,
    expect_held,
    held,
    needs,
)


class SinkLifecycle(SinkFixtures):
    """Opened once, used by many tasks at once, closed once."""

    def test_it_opens_and_closes_without_effect(self, sink: MakeSink, destination: Destination) -> None:
        async def check() -> None:
            async with opened(sink()):
                pass
            expect(not await held(destination), "opening a sink left something at the destination")

        anyio.run(check)

    def test_close_is_safe_twice_and_before_open(self, sink: MakeSink) -> None:
        async def check() -> None:
            unopened, used = sink(), sink()
            await unopened.close()
            await used.open()
            await used.close()
            await used.close()

        anyio.run(check)

    def test_open_works_after_an_open_that_failed(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, faults: Faults
    ) -> None:
        down = needs(faults.down, "down", faults.withheld)

        async def check() -> None:
            subject, sent = sink(), records(1)
            try:
                async with during(down):
                    with known_errors("open, with the service down,") as caught:
                        await subject.open()
                expect(
                    caught.error is None or isinstance(caught.error, Transient | Misconfigured),
                    f"open raised {type(caught.error).__name__}; it may raise Transient or Misconfigured",
                )
                if caught.error:
                    await subject.open()
                await send_all(subject, sent)
            finally:
                await subject.close()
            await expect_held(destination, sent, subject, "opened again once the service was back")

        anyio.run(check)

    @pytest.mark.parametrize("pause", [0.0, 0.001, 0.01])
    def test_close_during_writes_loses_nothing_it_acked(
        self, sink: MakeSink, destination: Destination, records: MakeRecords, pause: float
    ) -> None:
        async def check() -> None:
            subject = sink()
            await subject.open()
            acked: set[str] = set()

            async def write(encoded: Encoded) -> None:
                with known_errors("write, while the sink was closed,") as caught:
                    await subject.write(encoded)
                if caught.error is None:
                    acked.update(record.scan_id for record in encoded.batch.records)

            batches = [batch for record in records(8) for batch in seal(subject, [record])]
            writes = [await encode(subject, batch) for batch in batches]
            with anyio.move_on_after(self.patience) as scope:
                async with anyio.create_task_group() as tasks:
                    for encoded in writes:
                        tasks.start_soon(write, encoded)
                    await anyio.sleep(pause)
                    await subject.close()
            expect(not scope.cancelled_caught, f"write or close hangs when closed meanwhile: over {self.patience} s")
            lost = sorted(acked - set(await held(destination)))
            expect(not lost, f"writes that returned while the sink was closed left no effect: {lost}")

        anyio.run(check)
