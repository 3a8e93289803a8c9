"""Scanners that lie in one way each: the check written for that lie notices, and no other does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from support.twins import Twin, Twins, failed, verdicts

from scribe_export.errors import Misconfigured, Rejected, SinkError, Transient
from scribe_export.interface import Context
from scribe_export.model import ScanRequest
from scribe_export.options import ScannerOptions
from scribe_export.testing.memory import MemoryInstrument, MemoryScanner
from scribe_export.testing.scanner_contract import ScannerContract

TWINS = Twins(ScannerContract)
lie = TWINS.caught_by


@lie("it_opens_and_closes_without_a_scan")
class WarmsUp(MemoryScanner):
    async def open(self) -> None:
        await self.instrument.perform(ScanRequest())


@lie("close_is_safe_twice_and_before_open")
class ClosesOnceOnly(MemoryScanner):
    is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        if not self.is_open:
            raise RuntimeError("not open")
        self.is_open = False


@lie("a_request_gives_a_completed_scan")
class ScansAnotherSignal(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        body = await super().scan(request)
        document = msgspec.json.decode(body)
        document["config"]["signal_type"] = "noise"
        return msgspec.json.encode(document)


@lie(
    "a_request_gives_a_completed_scan",
    "the_same_request_twice_gives_two_scans",
    "requests_at_once_each_get_their_own_scan",
    "a_scan_that_surely_was_not_performed_says_so",
)
class AnswersWithAReceipt(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        await super().scan(request)
        return b'{"status": "accepted"}'


@lie("the_same_request_twice_gives_two_scans")
class LooksUpOldScans(MemoryScanner):
    async def open(self) -> None:
        self.kept: dict[ScanRequest, bytes] = {}

    async def scan(self, request: ScanRequest) -> bytes:
        if request not in self.kept:
            self.kept[request] = await super().scan(request)
        return self.kept[request]


@lie("requests_at_once_each_get_their_own_scan")
class SharesTheRequest(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        self.request = request
        await anyio.lowlevel.checkpoint()
        return await super().scan(self.request)


@lie("one_request_performs_one_scan")
class MeasuresTwiceToBeSure(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        await super().scan(request)
        return await super().scan(request)


@lie("an_impossible_request_is_rejected")
class TriesTheImpossibleAgain(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Rejected as error:
            raise Transient(str(error), applied="no") from error


@lie("an_impossible_request_is_rejected")
class BendsTheRequestUntilItFits(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Rejected:
            return await super().scan(replace(ScanRequest(), duration=abs(request.duration)))


@lie("a_scan_that_surely_was_not_performed_says_so")
class NeverKnows(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Transient as error:
            raise Transient(str(error)) from error


@lie("a_scan_that_surely_was_not_performed_says_so")
class LetsTheClientsErrorsOut(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except SinkError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise error.__cause__ from None
            raise


@lie("a_lost_answer_is_unknown_and_not_performed_twice")
class RepeatsALostRequest(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Transient as error:
            if error.applied == "unknown":
                return await super().scan(request)
            raise


@lie("a_lost_answer_is_unknown_and_not_performed_twice")
class SaysNoWhenItDoesNotKnow(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Transient as error:
            raise Transient(str(error), applied="no") from error


@lie("denied_credentials_are_misconfigured")
class GivesUpWhenDenied(MemoryScanner):
    async def scan(self, request: ScanRequest) -> bytes:
        try:
            return await super().scan(request)
        except Misconfigured as error:
            raise Rejected(str(error)) from error


def fixtures_of(make: type) -> Mapping[str, Any]:
    instrument = MemoryInstrument()
    return {
        "scanner": lambda: make(ScannerOptions(), Context("twin"), instrument=instrument),
        "performed": lambda: instrument.performed,
        "possible": ScanRequest(duration=0.5),
        "impossible": ScanRequest(signal_type="no such signal", frequency=-1.0, duration=-1.0, amplitude=-1.0),
        "faults": instrument.faults(),
    }


def test_the_honest_scanner_passes_every_check_and_skips_none() -> None:
    found = verdicts(ScannerContract(), lambda: fixtures_of(MemoryScanner))
    assert found == dict.fromkeys(found, "passed")


def test_every_check_has_a_liar_that_it_was_written_for() -> None:
    assert TWINS.uncaught_checks() == set()


@pytest.mark.parametrize("twin", TWINS.all, ids=lambda twin: twin.make.__name__)
def test_a_lying_scanner_is_caught_by_its_check_and_no_other(twin: Twin) -> None:
    found = verdicts(ScannerContract(), lambda: fixtures_of(twin.make))
    assert failed(found) == {twin.caught_by, *twin.also}, found
