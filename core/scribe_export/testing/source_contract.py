"""What every source keeps: subclass, give two fixtures, and pytest runs the checks.

class TestMySource(SourceContract):
    @pytest.fixture
    def source(self, queue): return lambda *, once: MySource(MySourceOptions(...), Context("mine", once=once))

    @pytest.fixture
    def put(self, queue): return lambda count: queue.fill(count)  # {scan id: body} of so many new scans
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, Protocol

import anyio
import anyio.to_thread
import pytest

from scribe_export.errors import Misconfigured, SourceError, Transient
from scribe_export.interface import Source
from scribe_export.testing.destination import Faults
from scribe_export.testing.expect import expect, innermost
from scribe_export.testing.sealing import opened
from scribe_export.testing.sink_fixtures import during, needs
from scribe_export.testing.source_driver import Intake, Notes, Verdict

Put = Callable[[int], Mapping[str, bytes]]


class MakeSource(Protocol):
    """Makes a fresh, unopened source; `once` is that of its `Context`."""

    def __call__(self, *, once: bool) -> Source: ...


class SourceContract:
    """The fixtures `source` and `put` are a subclass's own; `faults` has a default."""

    rounds: ClassVar[int] = 4
    """How often scans are put before a check reads them."""
    scans_a_round: ClassVar[int] = 3
    """How many each time; with few, a source yields several deliveries."""
    lease: ClassVar[float] = 0.0
    """Seconds for which the service hides what a process took that died, if the source does not wait for that itself."""
    patience: ClassVar[float] = 20.0
    """Seconds without a delivery after which a source is taken to have no more."""

    @pytest.fixture
    def source(self) -> MakeSource:
        """Makes a fresh, unopened source on the same service at each call; `once` is that of its `Context`."""
        raise NotImplementedError("give a fixture `source` that makes a fresh, unopened source, called with once=…")

    @pytest.fixture
    def put(self) -> Put:
        """Puts so many new scans where the source reads, and returns their bodies by scan id; may block."""
        raise NotImplementedError("give a fixture `put` that puts so many new scans where the source reads")

    @pytest.fixture
    def faults(self) -> Faults:
        """What can be done to the service."""
        return Faults()

    def test_close_is_safe_twice_and_before_open(self, source: MakeSource) -> None:
        async def check() -> None:
            unopened, used = source(once=True), source(once=True)
            await unopened.close()
            await used.open()
            await used.close()
            await used.close()

        anyio.run(check)

    def test_every_scan_arrives_once_as_it_was_put(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            there = await self._fill(put)
            run = await self._read(source, Intake(Notes()))
            _expect_each_once(run.committed, there, "one run over all that was there")
            changed = [scan_id for scan_id, body in there.items() if run.bodies[scan_id] != body]
            expect(not changed, f"bodies came changed, first that of scan {changed[:1]}; a source yields the raw bytes")

        anyio.run(check)

    def test_it_returns_when_asked_for_what_is_there(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            empty = await self._read(source, Intake(Notes()))
            expect(empty.ended, f"with nothing there, a source asked for `once` has to return; {_how(empty)}")
            await self._fill(put)
            run = await self._read(source, Intake(Notes()))
            expect(run.ended, f"a source asked for `once` has to return when it has read all; {_how(run)}")

        anyio.run(check)

    def test_a_restart_after_each_commit_loses_and_repeats_nothing(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            there, notes, taken = await self._fill(put), Notes(), list[str]()
            for _ in range(len(there) + 1):
                run = await self._read(source, Intake(notes, commits=1, then="crash", stop_after=1))
                taken += run.committed
                if not run.committed:
                    break
            _expect_each_once(taken, there, "a restart after each committed delivery")

        anyio.run(check)

    def test_what_was_not_committed_comes_again(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            notes = Notes()
            there, committed = await self._taken_in_part(source, put, notes, "crash")
            await anyio.sleep(self.lease)
            second = await self._read(source, Intake(notes))
            lost = sorted(set(there) - set(committed) - set(second.committed))
            expect(
                not lost, f"a crash before the commit lost {lost[:3]}: nothing may be skipped before it is committed"
            )
            again = sorted(set(committed) & set(second.committed))
            expect(not again, f"{again[:3]} were committed and came again after a restart")

        anyio.run(check)

    def test_what_was_nacked_comes_again(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            notes = Notes()
            there, committed = await self._taken_in_part(source, put, notes, "nack", expected=Transient)
            second = await self._read(source, Intake(notes))
            _expect_each_once(committed + second.committed, there, "all but the first delivery nacked")

        anyio.run(check)

    def test_messages_are_answered_for_one_by_one(self, source: MakeSource, put: Put) -> None:
        if not source(once=True).options.acknowledging:
            pytest.skip("the source answers for whole deliveries")  # and so cannot be used with `buffer: none`

        async def check() -> None:
            there, taken = await self._fill(put), list[str]()
            for _ in range(len(there)):
                run = await self._read(source, Intake(Notes(), commits=0, then="divide"))
                taken += run.committed
                if not run.committed:
                    break
            _expect_each_once(taken, there, "every other message of each delivery acked and the rest nacked")

        anyio.run(check)

    def test_scans_that_come_between_two_runs_are_found(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            notes = Notes()
            early = await self._fill(put)
            first = await self._read(source, Intake(notes))
            late = await self._fill(put)
            second = await self._read(source, Intake(notes))
            _expect_each_once(first.committed + second.committed, {**early, **late}, "scans put after the first run")

        anyio.run(check)

    def test_scans_that_come_while_it_runs_are_found(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            there = dict(await anyio.to_thread.run_sync(put, self.scans_a_round))
            run = Intake(Notes(), stop_after=2 * self.scans_a_round)
            async with opened(source(once=False)) as subject, anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: run.run(subject, patience=self.patience))
                await run.took(len(there), patience=self.patience)
                there.update(await anyio.to_thread.run_sync(put, self.scans_a_round))
            _expect_each_once(run.committed, there, "scans put while the source ran")

        anyio.run(check)

    def test_a_running_source_ends_when_it_is_cancelled_and_closed(self, source: MakeSource, put: Put) -> None:
        async def check() -> None:
            subject, run = source(once=False), Intake(Notes())
            there = await anyio.to_thread.run_sync(put, self.scans_a_round)
            await subject.open()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: run.run(subject, patience=10 * self.patience))
                await run.took(len(there), patience=self.patience)
                begun = anyio.current_time()
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(self.patience):
                await subject.close()
            taken = anyio.current_time() - begun
            expect(taken < self.patience, f"the source took {taken:.1f} s to end after it was cancelled and closed")

        anyio.run(check)

    def test_a_service_that_is_down_is_said_and_survived(self, source: MakeSource, put: Put, faults: Faults) -> None:
        down = needs(faults.down, "down", faults.withheld)

        async def check() -> None:
            there, notes = await self._fill(put), Notes()
            subject = source(once=True)
            try:
                async with during(down):
                    first, is_open = Intake(notes), False
                    try:
                        await subject.open()
                        is_open = True
                        await first.run(subject, patience=self.patience)
                    except Exception as error:  # noqa: BLE001 - the contract judges whatever comes
                        first.error = innermost(error)
                    _expect_said(first)
                if not is_open:
                    await subject.open()
                second = await Intake(notes).run(subject, patience=self.patience)
            finally:
                await subject.close()
            _expect_each_once(second.committed, there, "read again once the service was back")

        anyio.run(check)

    async def _fill(self, put: Put) -> Mapping[str, bytes]:
        there: dict[str, bytes] = {}
        for _ in range(self.rounds):
            there.update(await anyio.to_thread.run_sync(put, self.scans_a_round))
        return there

    async def _taken_in_part(
        self,
        source: MakeSource,
        put: Put,
        notes: Notes,
        verdict: Verdict,
        *,
        expected: type[Exception] | None = None,
    ) -> tuple[Mapping[str, bytes], list[str]]:
        """Put scans and commit the first delivery alone; what was put, and what was committed.

        Where that one held all of them more are put, and the next delivery is not committed.
        """
        there = dict(await self._fill(put))
        first = await self._read(source, Intake(notes, commits=1, then=verdict), expected=expected)
        if not first.uncommitted:
            there.update(await self._fill(put))
            await self._read(source, Intake(notes, commits=0, then=verdict, stop_after=1), expected=expected)
        return there, first.committed

    async def _read(self, source: MakeSource, intake: Intake, *, expected: type[Exception] | None = None) -> Intake:
        """`expected` is what the source may raise to be called again."""
        async with opened(source(once=True)) as subject:
            run = await intake.run(subject, patience=self.patience)
        if run.error and not (expected and isinstance(run.error, expected)):
            raise AssertionError(f"the source raised {run.error!r} while its service was well") from run.error
        return run


def _expect_each_once(taken: Collection[str], there: Mapping[str, bytes], when: str) -> None:
    counts = Counter(taken)
    lost = sorted(set(there) - set(counts))
    expect(not lost, f"{when}: {len(lost)} of {len(there)} scans never came, first {lost[:1]}")
    repeated = sorted(scan_id for scan_id, count in counts.items() if count > 1)
    expect(not repeated, f"{when}: {repeated[:3]} came more than once, after they were committed")
    unknown = sorted(set(counts) - set(there))
    expect(not unknown, f"{when}: {unknown[:3]} came, which nobody put there")


def _expect_said(run: Intake) -> None:
    expect(not run.committed, "the fixture's fault `down` lets requests through")
    expect(not run.ended, "the source returned while its service was down, as if it had read all there is")
    expect(
        run.error is None or isinstance(run.error, SourceError | Transient | Misconfigured),
        f"the source raised a bare {run.error!r}; it may raise SourceError, Transient or Misconfigured",
    )


def _how(run: Intake) -> str:
    return f"it raised {run.error!r}" if run.error else "it still waited"
