"""What every scanner keeps: subclass, give a fixture, and pytest runs the checks.

class TestMyScanner(ScannerContract):
    @pytest.fixture
    def scanner(self, instrument): return lambda: MyScanner(MyScannerOptions(...), Context("mine"))

    @pytest.fixture
    def performed(self, instrument): return lambda: instrument.count
"""

from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from scribe_export.errors import InvalidScan, Misconfigured, Rejected, SinkError, Transient
from scribe_export.interface import Scanner
from scribe_export.model import ScanRequest
from scribe_export.scan import ScanFields, read_fields
from scribe_export.testing.destination import Faults
from scribe_export.testing.expect import expect, known_errors
from scribe_export.testing.sealing import opened
from scribe_export.testing.sink_fixtures import during, needs

MakeScanner = Callable[[], Scanner]
Performed = Callable[[], int]


class ScannerContract:
    """The fixture `scanner` is a subclass's own; the others have defaults."""

    @pytest.fixture
    def scanner(self) -> MakeScanner:
        """Makes a fresh, unopened scanner on the same instrument at each call."""
        raise NotImplementedError("give a fixture `scanner` that makes a fresh, unopened scanner at each call")

    @pytest.fixture
    def performed(self) -> Performed | None:
        """How many scans the instrument performed so far, by its own count; checks that need it skip without."""
        return None

    @pytest.fixture
    def possible(self) -> ScanRequest:
        """A request that can be performed."""
        return ScanRequest(duration=0.5)

    @pytest.fixture
    def impossible(self) -> ScanRequest:
        """A request that never can."""
        return ScanRequest(signal_type="no such signal", frequency=-1.0, duration=-1.0, amplitude=-1.0)

    @pytest.fixture
    def faults(self) -> Faults:
        """What can be done to the instrument."""
        return Faults()

    def test_it_opens_and_closes_without_a_scan(self, scanner: MakeScanner, performed: Performed | None) -> None:
        async def check() -> None:
            before = performed() if performed else 0
            async with opened(scanner()):
                pass
            expect((performed() if performed else 0) == before, "opening a scanner performed a scan")

        anyio.run(check)

    def test_close_is_safe_twice_and_before_open(self, scanner: MakeScanner) -> None:
        async def check() -> None:
            unopened, used = scanner(), scanner()
            await unopened.close()
            await used.open()
            await used.close()
            await used.close()

        anyio.run(check)

    def test_a_request_gives_a_completed_scan(self, scanner: MakeScanner, possible: ScanRequest) -> None:
        async def check() -> None:
            async with opened(scanner()) as subject:
                scan = _read(await subject.scan(possible))
            expect(
                scan.signal_type in {None, possible.signal_type},
                f"a {possible.signal_type!r} scan was asked for and {scan.signal_type!r} came back",
            )

        anyio.run(check)

    def test_the_same_request_twice_gives_two_scans(self, scanner: MakeScanner, possible: ScanRequest) -> None:
        async def check() -> None:
            async with opened(scanner()) as subject:
                first, second = [_read(await subject.scan(possible)) for _ in range(2)]
            expect(
                first.scan_id != second.scan_id,
                f"both scans are {first.scan_id!r}: a measurement is not a look-up, and no answer may be kept",
            )

        anyio.run(check)

    def test_requests_at_once_each_get_their_own_scan(self, scanner: MakeScanner, possible: ScanRequest) -> None:
        async def check() -> None:
            found: list[tuple[float, ScanFields]] = []

            async def perform(subject: Scanner, hertz: float) -> None:
                request = ScanRequest(possible.signal_type, hertz, possible.duration, possible.amplitude)
                found.append((hertz, _read(await subject.scan(request))))

            async with opened(scanner()) as subject, anyio.create_task_group() as tasks:
                for hertz in (220.0, 330.0, 440.0, 550.0):
                    tasks.start_soon(perform, subject, hertz)
            expect(len({scan.scan_id for _, scan in found}) == len(found), "requests made at once shared a scan")
            mixed = [(hertz, scan.frequency) for hertz, scan in found if scan.frequency not in {None, hertz}]
            expect(not mixed, f"requests made at once got each other's scans (hertz asked, hertz got): {mixed}")

        anyio.run(check)

    def test_one_request_performs_one_scan(
        self, scanner: MakeScanner, possible: ScanRequest, performed: Performed | None
    ) -> None:
        count = _counted(performed)

        async def check() -> None:
            async with opened(scanner()) as subject:
                before = count()
                await subject.scan(possible)
            expect(count() == before + 1, f"one request performed {count() - before} scans")

        anyio.run(check)

    def test_an_impossible_request_is_rejected(
        self, scanner: MakeScanner, impossible: ScanRequest, performed: Performed | None
    ) -> None:
        async def check() -> None:
            async with opened(scanner()) as subject:
                before = performed() if performed else 0
                error = await _failing(subject, impossible, "with an impossible request")
            expect(isinstance(error, Rejected), f"scan raised {error!r}; an impossible request is Rejected")
            expect((performed() if performed else 0) == before, "an impossible request was performed and rejected")

        anyio.run(check)

    def test_a_scan_that_surely_was_not_performed_says_so(
        self, scanner: MakeScanner, possible: ScanRequest, faults: Faults
    ) -> None:
        down = needs(faults.down, "down", faults.withheld)

        async def check() -> None:
            async with opened(scanner()) as subject:
                async with during(down):
                    error = await _failing(subject, possible, "with the instrument down")
                expect(
                    isinstance(error, Transient) and error.applied == "no",
                    f"scan raised {error!r} (applied={error.applied!r}); what cannot be reached was surely not "
                    "performed: Transient with applied='no'",
                )
                _read(await subject.scan(possible))

        anyio.run(check)

    def test_a_lost_answer_is_unknown_and_not_performed_twice(
        self, scanner: MakeScanner, possible: ScanRequest, performed: Performed | None, faults: Faults
    ) -> None:
        lose_answers, count = needs(faults.lose_answers, "lose_answers", faults.withheld), _counted(performed)

        async def check() -> None:
            async with opened(scanner()) as subject, during(lose_answers):
                before = count()
                error = await _failing(subject, possible, "with its answer lost")
            made = count() - before
            expect(made, "the fixture's fault `lose_answers` lost the request too")
            expect(made == 1, f"the scan was performed {made} times: a scanner never repeats a request by itself")
            expect(
                isinstance(error, Transient) and error.applied == "unknown",
                f"scan raised {error!r} (applied={error.applied!r}), and the scan was performed: "
                "Transient with applied='unknown'",
            )

        anyio.run(check)

    def test_denied_credentials_are_misconfigured(
        self, scanner: MakeScanner, possible: ScanRequest, faults: Faults
    ) -> None:
        deny = needs(faults.deny, "deny", faults.withheld)

        async def check() -> None:
            async with opened(scanner()) as subject, during(deny):
                error = await _failing(subject, possible, "with the credentials denied")
            expect(isinstance(error, Misconfigured), f"scan raised {error!r}; a denial is Misconfigured")

        anyio.run(check)


def _read(body: bytes) -> ScanFields:
    expect(isinstance(body, bytes), f"scan returned {type(body).__name__}; it returns the raw JSON as bytes")
    try:
        return read_fields(body)
    except InvalidScan as error:
        raise AssertionError(f"scan returned what is no completed scan: {error}") from error


def _counted(performed: Performed | None) -> Performed:
    if performed is None:
        pytest.skip("the fixture `performed` does not count")  # a real scanner may count nothing
    return performed


async def _failing(subject: Scanner, request: ScanRequest, what: str) -> SinkError:
    with known_errors(f"scan, {what},") as caught:
        body = await subject.scan(request)
    if caught.error is None:
        raise AssertionError(f"scan, {what}, returned {body[:80]!r}")
    return caught.error
