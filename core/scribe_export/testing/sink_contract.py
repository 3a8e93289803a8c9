"""What every sink keeps: subclass, give two fixtures, and pytest runs the checks.

    class TestMySink(SinkContract):
        @pytest.fixture
        def sink(self, tmp_path): return lambda: MySink(MySinkOptions(path=tmp_path), Context("mine"))

        @pytest.fixture
        def destination(self, tmp_path): return WhatIsIn(tmp_path)

More fixtures let more be checked: `faults` breaks the service, `reshaped` changes the options, `unacceptable` is a record
to refuse, `records` are records of the sink's liking. The checks are plain functions that run anyio themselves; no
pytest plugin is needed.
"""

from scribe_export.testing.destination import Destination, Faults
from scribe_export.testing.sink_arrival import SinkArrival
from scribe_export.testing.sink_effects import SinkEffects
from scribe_export.testing.sink_encoding import SinkEncoding
from scribe_export.testing.sink_faults import SinkFaults
from scribe_export.testing.sink_fixtures import MakeRecords, MakeSink
from scribe_export.testing.sink_lifecycle import SinkLifecycle
from scribe_export.testing.sink_usage import SinkUsage


class SinkContract(SinkLifecycle, SinkArrival, SinkEffects, SinkEncoding, SinkUsage, SinkFaults):
    """All checks of a sink."""


__all__ = ["Destination", "Faults", "MakeRecords", "MakeSink", "SinkContract"]
