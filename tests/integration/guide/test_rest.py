"""The guide's REST clients against the simulator's API, while a running exporter archives what they have scanned."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest
from support.guide import EXAMPLE_KEY, load
from support.guide_program import example
from support.guide_verdicts import expected_failure, promised
from support.loop import in_loop
from support.pipeline import Pipeline, until
from support.s3 import new_bucket
from support.stored import bodies

from scribe_connectors.scribe.client import AsyncScribeClient, BatchScansFailed, ScanConfig, ScribeClient
from scribe_export.errors import Rejected
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer, Simulator

Arrives = Callable[..., None]


@pytest.fixture(scope="module")
def arrives(
    tmp_path_factory: pytest.TempPathFactory, keyed: Simulator, ministack: LocalServer, s3: Any
) -> Iterator[Arrives]:
    """Wait until scans lie in a folder and in S3 as the API serves them: a run polls it all the while."""
    bucket = new_bucket(s3)
    auth = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    aws = {"type": "aws_s3", "region": REGION, "endpoint_url": ministack.url, "auth": auth}
    key = "scans/{scan_id}.json"
    destinations: dict[str, dict[str, Any]] = {
        "files": {"type": "file", "directory": "archive", "key": key},
        "cloud": {**aws, "bucket": bucket, "key": key},
    }
    source = {"type": "scribe_api", "url": keyed.url, "api_key": EXAMPLE_KEY, "poll_interval": "100ms"}
    folder = tmp_path_factory.mktemp("rest") / "it"

    def check(*scan_ids: int) -> None:
        with httpx.Client(base_url=keyed.url, headers={"X-API-Key": EXAMPLE_KEY}) as client:
            served = {number: client.get(f"/scans/{number}").raise_for_status().content for number in scan_ids}
        files = [folder / "archive" / "scans" / f"{number}.json" for number in scan_ids]
        until(lambda: all(file.exists() for file in files), what="archiving in files")
        assert {number: file.read_bytes() for number, file in zip(scan_ids, files, strict=True)} == served
        until(lambda: set(served.values()) <= set(bodies(s3, bucket, "scans/")), what="archiving in S3")

    with Pipeline(folder, destinations, sources={"api": source}) as pipeline:
        run = pipeline.start()
        run.ready()
        yield check
        run.terminate()
        assert run.ended() == 0


@pytest.fixture(scope="module")
def guide(keyed: Simulator) -> Any:
    """Both clients' sections in one; only the address is patched."""
    address = {"base_url": keyed.url}
    module = load("Async Python Client", defaults={"ScribeClient": address, "AsyncScribeClient": address})
    module.ScribeClient = load("Python Client Library", defaults={"ScribeClient": address}).ScribeClient
    return module


def newest(keyed: Simulator) -> int:
    listed = httpx.get(f"{keyed.url}/scans", params={"limit": 1}, headers={"X-API-Key": EXAMPLE_KEY}).json()["scans"]
    return int(listed[0]["scan_id"]) if listed else 0


def test_every_method_of_the_client_works_and_its_scans_are_archived(guide: Any, arrives: Arrives) -> None:
    client = guide.ScribeClient(api_key=EXAMPLE_KEY)
    assert client.health_check()
    first = client.perform_scan(guide.ScanConfig(signal_type="sweep", frequency=220.0, duration=1.0, amplitude=0.25))
    assert first["config"] == {"signal_type": "sweep", "frequency": 220.0, "duration": 1.0, "amplitude": 0.25}
    second = client.perform_scan(guide.ScanConfig())
    assert client.get_scan_history(limit=2) == [second, first]
    assert client.get_scan_details(first["scan_id"]) == first
    correction = client.add_feedback(first["scan_id"], "material_correction", {"correct_material": "oak"})
    assert correction["status"] == "recorded"
    compared = client.compare_scans([first["scan_id"], second["scan_id"]])
    assert 0 <= compared["comparisons"][0]["similarity"] <= 1
    client.session.close()
    arrives(first["scan_id"], second["scan_id"])


def test_without_its_key_the_client_finds_the_api_healthy_and_is_refused_the_scan(guide: Any) -> None:
    client = guide.ScribeClient()
    assert client.health_check()
    with pytest.raises(Exception, match="401 Client Error"):
        client.perform_scan(guide.ScanConfig())
    client.session.close()


def test_the_clients_main_scans_and_gives_feedback(keyed: Simulator, arrives: Arrives) -> None:
    before = newest(keyed)
    ended = example("Python Client Library", defaults={"ScribeClient": {"base_url": keyed.url}})
    assert ended.returncode == 0, ended.stderr
    first, second = ended.stdout.splitlines()
    assert first.startswith("Scan completed with ")
    assert second.removeprefix("Material detected: ") not in {second, "Unknown"}
    arrives(before + 1)


@in_loop
async def test_every_method_of_the_async_client_works_and_its_scans_are_archived(guide: Any, arrives: Arrives) -> None:
    async with guide.AsyncScribeClient(api_key=EXAMPLE_KEY) as client:
        assert await client.health_check()
        single = await client.perform_scan(guide.ScanConfig(duration=0.5))
        asked = [guide.ScanConfig(frequency=110.0 * number) for number in range(1, 13)]
        results = await client.batch_scans(asked)
    assert [result["config"]["frequency"] for result in results] == [one.frequency for one in asked]
    await anyio.to_thread.run_sync(arrives, single["scan_id"], *(result["scan_id"] for result in results))


def test_the_async_clients_main_scans_three_times(keyed: Simulator, arrives: Arrives) -> None:
    before = newest(keyed)
    ended = example("Async Python Client", defaults={"AsyncScribeClient": {"base_url": keyed.url}})
    assert ended.returncode == 0, ended.stderr
    assert [line.partition(": ")[0] for line in ended.stdout.splitlines()] == ["Scan 1", "Scan 2", "Scan 3"]
    arrives(*range(before + 1, before + 4))


@in_loop
async def test_one_scan_that_is_refused_costs_the_guide_the_results_of_all_and_us_of_none(
    guide: Any, keyed: Simulator
) -> None:
    asked = [guide.ScanConfig(frequency=frequency) for frequency in (220.0, -1.0, 880.0)]
    with expected_failure("AsyncScribeClient.batch_scans: one scan is refused"):
        async with guide.AsyncScribeClient(api_key=EXAMPLE_KEY) as client:
            results = await client.batch_scans(asked)
        promised(len(results) == 3, instead=f"{len(results)} results")

    async with AsyncScribeClient(keyed.url, EXAMPLE_KEY) as ours:
        with pytest.raises(BatchScansFailed, match="1 of 3 scans failed, first number 2") as caught:
            await ours.batch_scans(asked)
    found = [result and result["config"]["frequency"] for result in caught.value.results]
    assert found == [220.0, None, 880.0]
    assert isinstance(caught.value.errors[1], Rejected)


def test_our_client_serves_many_threads(keyed: Simulator) -> None:
    frequencies = [110.0 * number for number in range(1, 9)]
    with ScribeClient(keyed.url, EXAMPLE_KEY) as ours, ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda frequency: ours.perform_scan(ScanConfig(frequency=frequency)), frequencies)
        assert [result["config"]["frequency"] for result in results] == frequencies
