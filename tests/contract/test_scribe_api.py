"""The SCRIBE API's source and scanner keep the contracts, against the simulator."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing

import httpx
import pytest
from scribe_connectors.scribe.options import ScribeScannerOptions, ScribeSourceOptions
from scribe_connectors.scribe.scanner import ScribeApiScanner
from scribe_connectors.scribe.source import ScribeApiSource
from scribe_local.proxy import Mode, Proxy
from support.front import Answer, Front
from support.modes import holding

from scribe_export.interface import Context
from scribe_export.testing.destination import Faults
from scribe_export.testing.scanner_contract import MakeScanner, Performed, ScannerContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract
from scribe_local import servers


@pytest.fixture
def scribe() -> Iterator[servers.Simulator]:
    """A scanner that has performed no scan."""
    with servers.simulator(seed=1, audio_samples=32) as server:
        yield server


@pytest.fixture
def front(scribe: servers.Simulator) -> Iterator[Front]:
    unavailable = Answer(503, b'{"detail": "busy"}')
    with Front(scribe.port, unavailable=unavailable, denied=Answer(401, b'{"detail": "no key"}')) as front:
        yield front


class TestTheHistory(SourceContract):
    @pytest.fixture
    def source(self, front: Front) -> MakeSource:
        options = ScribeSourceOptions.model_validate({"url": front.url, "poll_interval": 0.05, "max_records": 4})
        return lambda *, once: ScribeApiSource(options, Context("api", once=once))

    @pytest.fixture
    def put(self, scribe: servers.Simulator) -> Put:
        def put(amount: int) -> Mapping[str, bytes]:
            with httpx.Client(base_url=scribe.url, trust_env=False) as client:
                request = {"signal_type": "sine", "frequency": 440.0, "duration": 0.5, "amplitude": 0.5}
                added = [client.post("/scan", json=request).raise_for_status().json() for _ in range(amount)]
                ids = [str(scan["scan_id"]) for scan in added]
                return {scan_id: client.get(f"/scans/{scan_id}").raise_for_status().content for scan_id in ids}

        return put

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return Faults(down=front.unavailable)


class TestTheScanner(ScannerContract):
    @pytest.fixture
    def scribe(self, simulator: servers.Simulator) -> servers.Simulator:
        """One for all tests: scans that others asked for do no harm here."""
        return simulator

    @pytest.fixture
    def proxy(self, front: Front) -> Iterator[Proxy]:
        with Proxy(int(front.url.rsplit(":", 1)[1])) as proxy:
            yield proxy

    @pytest.fixture
    def scanner(self, proxy: Proxy) -> MakeScanner:
        options = ScribeScannerOptions.model_validate({"url": proxy.url})
        return lambda: ScribeApiScanner(options, Context("scanner"))

    @pytest.fixture
    def performed(self, scribe: servers.Simulator) -> Performed:
        def performed() -> int:
            with closing(sqlite3.connect(scribe.database)) as database:
                [count] = database.execute("SELECT count(*) FROM scan_results").fetchone()
                return int(count)

        return performed

    @pytest.fixture
    def faults(self, proxy: Proxy, front: Front) -> Faults:
        return Faults(
            down=lambda: holding(proxy, Mode.REFUSE),
            lose_answers=lambda: holding(proxy, Mode.LOSE),
            deny=front.denying,
        )
