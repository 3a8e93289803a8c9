from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.scripted_events import ScriptedEvents
from support.scripted_scribe import ScriptedScribe

from scribe_connectors.scribe.websocket import ScribeWebSocketSource
from scribe_connectors.scribe.websocket_options import ScribeWebSocketOptions
from scribe_export.interface import Context
from scribe_export.testing.destination import Faults
from scribe_export.testing.source_contract import SourceContract


class Instrument:
    """An API with a WebSocket beside it; the API can go away and come back on its port."""

    def __init__(self, events: ScriptedEvents) -> None:
        self.events = events
        self.api = ScriptedScribe()
        self.api.__enter__()

    def put(self, count: int) -> dict[str, bytes]:
        first = len(self.api.scans) + 1
        put = self.api.put(*range(first, first + count))
        self.events.completed(*range(first, first + count))
        return put

    @contextmanager
    def down(self) -> Iterator[None]:
        gone = self.api
        gone.__exit__(None, None, None)
        yield
        self.api = ScriptedScribe(gone.port)
        self.api.scans = gone.scans
        self.api.__enter__()


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    with ScriptedEvents() as events:
        instrument = Instrument(events)
        yield instrument
        instrument.api.__exit__(None, None, None)


class TestScribeWebSocketSource(SourceContract):
    patience = 2.0

    @pytest.fixture
    def source(self, instrument: Instrument) -> Callable[[bool], ScribeWebSocketSource]:
        options = ScribeWebSocketOptions(
            url=instrument.api.url, ws_url=instrument.events.url, poll_interval=3600, max_records=2
        )
        return lambda once: ScribeWebSocketSource(options, Context("live", once=once))

    @pytest.fixture
    def put(self, instrument: Instrument) -> Callable[[int], dict[str, bytes]]:
        return instrument.put

    @pytest.fixture
    def faults(self, instrument: Instrument) -> Faults:
        return Faults(down=instrument.down)
