from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.scripted_scribe import Answer, ScriptedScribe

from scribe_connectors.scribe.api import ScribeApiScanner, ScribeApiSource
from scribe_connectors.scribe.options import ScribeScannerOptions, ScribeSourceOptions
from scribe_export.interface import Context
from scribe_export.testing.destination import Faults
from scribe_export.testing.scanner_contract import ScannerContract
from scribe_export.testing.source_contract import SourceContract


class Instrument:
    """A scanner's API that can go away and come back on its port."""

    def __init__(self) -> None:
        self.api = ScriptedScribe()
        self.api.__enter__()

    def put(self, count: int) -> dict[str, bytes]:
        first = len(self.api.scans) + 1
        return self.api.put(*range(first, first + count))

    @contextmanager
    def down(self) -> Iterator[None]:
        gone = self.api
        gone.__exit__(None, None, None)
        yield
        self.api = ScriptedScribe(gone.port)
        self.api.scans = gone.scans
        self.api.__enter__()

    @contextmanager
    def deny(self) -> Iterator[None]:
        self.api.script = lambda _, __: Answer(403)
        yield
        self.api.script = lambda _, __: None

    @contextmanager
    def lose_answers(self) -> Iterator[None]:
        def perform_and_reset(method: str, _: str) -> Answer | None:
            if method == "POST":
                self.put(1)
            return Answer(reset=True)

        self.api.script = perform_and_reset
        yield
        self.api.script = lambda _, __: None


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    instrument = Instrument()
    yield instrument
    instrument.api.__exit__(None, None, None)


class TestScribeApiSource(SourceContract):
    patience = 1.0

    @pytest.fixture
    def source(self, instrument: Instrument) -> Callable[[bool], ScribeApiSource]:
        options = ScribeSourceOptions(url=instrument.api.url, poll_interval=0.02, max_records=2)
        return lambda once: ScribeApiSource(options, Context("api", once=once))

    @pytest.fixture
    def put(self, instrument: Instrument) -> Callable[[int], dict[str, bytes]]:
        return instrument.put

    @pytest.fixture
    def faults(self, instrument: Instrument) -> Faults:
        return Faults(down=instrument.down)


class TestScribeApiScanner(ScannerContract):
    @pytest.fixture
    def scanner(self, instrument: Instrument) -> Callable[[], ScribeApiScanner]:
        options = ScribeScannerOptions(url=instrument.api.url)
        return lambda: ScribeApiScanner(options, Context("scanner"))

    @pytest.fixture
    def performed(self, instrument: Instrument) -> Callable[[], int]:
        return lambda: len(instrument.api.scans)

    @pytest.fixture
    def faults(self, instrument: Instrument) -> Faults:
        return Faults(down=instrument.down, deny=instrument.deny, lose_answers=instrument.lose_answers)
