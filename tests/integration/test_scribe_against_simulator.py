from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from support.source_run import Notebook, run_source

from scribe_connectors.scribe.api import ScribeApiScanner, ScribeApiSource
from scribe_connectors.scribe.client import AsyncScribeClient, ScanConfig, ScribeClient
from scribe_connectors.scribe.options import ScribeScannerOptions, ScribeSourceOptions
from scribe_export.errors import Misconfigured, Rejected, Transient
from scribe_export.interface import Context
from scribe_export.model import ScanRequest
from scribe_export.scan import read_fields
from scribe_local.servers import Simulator, simulator


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[Simulator]:
    with simulator(seed=5, scans=25, audio_samples=32, folder=tmp_path) as server:
        yield server


def source(url: str) -> ScribeApiSource:
    return ScribeApiSource(ScribeSourceOptions(url=url, max_records=10), Context("api", once=True))


async def taken(url: str, notebook: Notebook) -> None:
    connector = source(url)
    await connector.open()
    try:
        await run_source(connector, notebook)
    finally:
        await connector.close()


def test_every_endpoint_answers_the_blocking_client(scanner: Simulator) -> None:
    with ScribeClient(scanner.url) as client:
        assert client.health_check()
        result = client.perform_scan(ScanConfig(frequency=440, duration=0.2))
        assert result["scan_id"] == 26
        assert 0 <= result["interpretation"]["confidence_scores"]["overall"] <= 1
        assert client.get_scan_details(26) == result
        assert [scan["scan_id"] for scan in client.get_scan_history(limit=3)] == [26, 25, 24]
        assert client.scan_bytes(7) == httpx.get(f"{scanner.url}/scans/7").content
        assert client.add_feedback(26, "material_correction", {"correct_material": "oak"})
        assert client.compare_scans([1, 2, 26])
        with pytest.raises(Rejected) as unknown:
            client.get_scan_details(999)
        assert unknown.value.kind == "not_found"
        with pytest.raises(Rejected, match="422 frequency"):
            client.perform_scan(ScanConfig(frequency=-1.0))


def test_a_batch_of_scans_comes_back_in_order(scanner: Simulator) -> None:
    async def run() -> None:
        async with AsyncScribeClient(scanner.url) as client:
            asked = [ScanConfig(frequency=220.0 * number, duration=0.1) for number in range(1, 7)]
            results = await client.batch_scans(asked)
            assert [result["config"]["frequency"] for result in results] == [config.frequency for config in asked]

    anyio.run(run)


def test_the_key_is_sent_and_its_absence_said(tmp_path: Path) -> None:
    with simulator(scans=1, folder=tmp_path, api_key="k-9") as server:
        with ScribeClient(server.url, "k-9") as client:
            assert client.get_scan_details(1)["scan_id"] == 1
        with ScribeClient(server.url) as client, pytest.raises(Misconfigured, match="check api_key"):
            client.get_scan_details(1)


def test_the_source_takes_each_scan_once_over_a_restart_of_the_server(scanner: Simulator) -> None:
    notebook = Notebook()
    anyio.run(taken, scanner.url, notebook)
    scanner.stop()
    with pytest.raises(Transient, match="Connection refused"):
        anyio.run(taken, scanner.url, notebook)
    scanner.start()
    with ScribeClient(scanner.url) as client:
        for _ in range(3):
            client.perform_scan(ScanConfig(duration=0.1))
        anyio.run(taken, scanner.url, notebook)
        assert notebook.ids == [str(number) for number in range(1, 29)]
        assert notebook.bodies == {str(number): client.scan_bytes(number) for number in range(1, 29)}
    assert max(notebook.sizes) == 10


def test_a_requested_scan_is_the_one_the_source_finds(scanner: Simulator) -> None:
    async def run() -> None:
        connector = ScribeApiScanner(ScribeScannerOptions(url=scanner.url), Context("scanner"))
        await connector.open()
        body = await connector.scan(ScanRequest(signal_type="sweep", duration=0.1))
        await connector.close()
        notebook = Notebook()
        await taken(scanner.url, notebook)
        assert notebook.bodies[read_fields(body).scan_id] == body

    anyio.run(run)
