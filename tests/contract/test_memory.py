"""The connectors that live in memory keep the contracts."""

import pytest

from scribe_export.interface import Context
from scribe_export.options import ScannerOptions
from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.memory import (
    MemoryDestination,
    MemoryFeed,
    MemoryInstrument,
    MemoryScanner,
    MemoryService,
    MemorySink,
    MemorySinkOptions,
    MemorySource,
    MemorySourceOptions,
)
from scribe_export.testing.scanner_contract import MakeScanner, Performed, ScannerContract
from scribe_export.testing.sink_contract import MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class MemoryFixtures(SinkContract):
    options = MemorySinkOptions()

    @pytest.fixture
    def service(self) -> MemoryService:
        return MemoryService()

    @pytest.fixture
    def sink(self, service: MemoryService) -> MakeSink:
        return lambda: MemorySink(self.options, Context("memory"), service=service)

    @pytest.fixture
    def reshaped(self, service: MemoryService) -> MakeSink:
        changed = self.options.model_copy(update={"prefix": "elsewhere/"})
        return lambda: MemorySink(changed, Context("memory"), service=service)

    @pytest.fixture
    def destination(self, service: MemoryService) -> Destination:
        return MemoryDestination(service)

    @pytest.fixture
    def faults(self, service: MemoryService) -> Faults:
        return service.faults()


class TestOneObjectAScan(MemoryFixtures):
    pass


class TestOneObjectABatch(MemoryFixtures):
    options = MemorySinkOptions(keeps="batches")
    cannot_partially_fail = "a batch is one object"


class TestALog(MemoryFixtures):
    options = MemorySinkOptions(keeps="log")


class TestOneRecordAtATime(MemoryFixtures):
    options = MemorySinkOptions(max_records=1)


class TestAFeed(SourceContract):
    @pytest.fixture
    def feed(self) -> MemoryFeed:
        return MemoryFeed()

    @pytest.fixture
    def source(self, feed: MemoryFeed) -> MakeSource:
        return lambda *, once: MemorySource(MemorySourceOptions(), Context("feed", once=once), feed=feed)

    @pytest.fixture
    def put(self, feed: MemoryFeed) -> Put:
        return feed.put

    @pytest.fixture
    def faults(self, feed: MemoryFeed) -> Faults:
        return feed.faults()


class TestAnInstrument(ScannerContract):
    @pytest.fixture
    def instrument(self) -> MemoryInstrument:
        return MemoryInstrument()

    @pytest.fixture
    def scanner(self, instrument: MemoryInstrument) -> MakeScanner:
        return lambda: MemoryScanner(ScannerOptions(), Context("instrument"), instrument=instrument)

    @pytest.fixture
    def performed(self, instrument: MemoryInstrument) -> Performed:
        return lambda: instrument.performed

    @pytest.fixture
    def faults(self, instrument: MemoryInstrument) -> Faults:
        return instrument.faults()
