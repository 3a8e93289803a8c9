"""An outage, a kill and a full quota, followed on /metrics and in `status` as an operator would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.oracle import small_scan
from support.pipeline import Pipeline, Run, until
from support.scrape import Scrape, Site

from scribe_local.proxy import Mode, Proxy
from scribe_local.servers import LocalServer

SPOOL: dict[str, dict[str, Any]] = {"spool": {"type": "file", "path": "spool/*.jsonl", "poll_interval": "20ms"}}
LARGE = 40_000
"""Bytes of a scan of which a quota of 16 MiB holds some hundred."""


@pytest.fixture
def proxy(redis: LocalServer) -> Iterator[Proxy]:
    with Proxy(redis.port) as proxy:
        yield proxy


def destination(proxy: Proxy, name: str) -> dict[str, dict[str, Any]]:
    """Keys of its own in Redis behind the proxy, tried again soon."""
    options = {
        "type": "redis",
        "url": f"redis://127.0.0.1:{proxy.port}/0",
        "key": f"{name}:{{scan_id}}",
        "retry": {"base_delay": "20ms", "max_delay": "200ms"},
        "breaker": {"failure_threshold": 2, "timeout": "300ms"},
    }
    return {"cache": options, "rest": {"type": "file", "directory": "rest", "key": "rest/{scan_id}.json"}}


def give(folder: Path, first: int, last: int, size: int = 700) -> None:
    (folder / "spool").mkdir(exist_ok=True)
    part = folder / f"{first:05d}.part"
    part.write_bytes(b"".join(small_scan(number, size) + b"\n" for number in range(first, last + 1)))
    part.rename(folder / "spool" / f"{first:05d}.jsonl")


class Watched:
    """A running pipeline and what it shows; `seen` is the last scrape."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.run: Run = pipeline.start()
        self.run.ready()
        self.site = Site.of(self.run)
        self.seen: Scrape = self.site.scrape()

    def until(self, name: str, at_least: float, **labels: str) -> None:
        """Scrape until a value is as high as that."""
        self.seen = self.site.until(name, at_least, **labels)

    def status(self) -> Any:
        return json.loads(self.pipeline.call("status", "--json").stdout)


def test_an_outage_is_followed_from_its_beginning_to_its_end(tmp_path: Path, proxy: Proxy) -> None:
    with Pipeline(tmp_path / "it", destination(proxy, "outage"), sources=SPOOL, http="127.0.0.1:0") as pipeline:
        give(pipeline.folder, 1, 10)
        watched = Watched(pipeline)
        watched.until("delivered_scans_total", 10, destination="cache")

        proxy.set(Mode.REFUSE)
        give(pipeline.folder, 11, 40)
        watched.until("delivered_scans_total", 40, destination="rest")
        watched.until("breaker_state", 1, destination="cache", state="open")
        watched.until("pending_scans", 30, destination="cache")
        first = watched.seen.value("oldest_pending_age_seconds", destination="cache")
        watched.until("oldest_pending_age_seconds", first + 0.2, destination="cache")
        seen = watched.seen
        assert seen.value("pending_scans", destination="cache") == 30
        assert seen.value("pending_bytes", destination="cache") == sum(len(small_scan(n)) for n in range(11, 41))
        assert seen.value("delivered_scans_total", destination="cache") == 10
        assert seen.value("attempts_total", destination="cache", outcome="transient") >= 2
        assert seen.value("retries_total", destination="cache") >= 2
        assert seen.value("breaker_state", destination="rest", state="closed") == 1
        assert (seen.value("pending_scans", destination="rest"), seen.value("journal_full")) == (0, 0)
        assert watched.site.ready(), "a destination that is down does not make it unready"
        told = watched.status()["destinations"]["cache"]
        assert (told["pending"], told["delivered"], told["breaker"]) == (30, 10, "open")
        assert told["oldest_pending_seconds"] >= first

        proxy.set(Mode.PASS)
        watched.until("delivered_scans_total", 40, destination="cache")
        watched.until("breaker_state", 1, destination="cache", state="closed")
        assert watched.seen.value("pending_scans", destination="cache") == 0
        assert watched.seen.value("oldest_pending_age_seconds", destination="cache") == 0
        assert watched.seen.value("delivery_age_seconds_count", destination="cache") == 40
        assert watched.seen.value("dead_letters", destination="cache") == 0


def test_what_the_journal_counts_goes_on_over_a_kill(tmp_path: Path, proxy: Proxy) -> None:
    with Pipeline(tmp_path / "it", destination(proxy, "kill"), sources=SPOOL, http="127.0.0.1:0") as pipeline:
        give(pipeline.folder, 1, 20)
        watched = Watched(pipeline)
        watched.until("delivered_scans_total", 20, destination="cache")
        watched.until("delivered_scans_total", 20, destination="rest")
        proxy.set(Mode.REFUSE)
        give(pipeline.folder, 21, 30)
        watched.until("delivered_scans_total", 30, destination="rest")
        watched.until("pending_scans", 10, destination="cache")
        watched.run.kill()

        watched = Watched(pipeline)
        assert watched.seen.value("delivered_scans_total", destination="cache") == 20
        watched.until("pending_scans", 10, destination="cache")
        assert watched.seen.value("delivered_scans_total", destination="rest") == 30
        assert watched.seen.value("attempts_total", destination="rest", outcome="delivered") == 0
        assert watched.seen.value("oldest_pending_age_seconds", destination="cache") > 0
        # It was never reached since the start: what waits is known from the journal alone.
        give(pipeline.folder, 31, 35)
        watched.until("pending_scans", 15, destination="cache")
        proxy.set(Mode.PASS)
        watched.until("delivered_scans_total", 35, destination="cache")
        assert watched.seen.value("pending_scans", destination="cache") == 0
        assert watched.seen.value("pending_bytes", destination="cache") == 0
        assert watched.seen.value("journal_scans_total") == 35


@pytest.mark.slow
def test_a_full_quota_is_seen_and_does_not_make_it_unready(tmp_path: Path, proxy: Proxy) -> None:
    destinations = {"cache": destination(proxy, "quota")["cache"]}
    journal = {"quota": "16MiB", "max_record": "1MiB"}
    proxy.set(Mode.REFUSE)
    with Pipeline(tmp_path / "it", destinations, sources=SPOOL, http="127.0.0.1:0", journal=journal) as pipeline:
        watched = Watched(pipeline)
        for first in range(1, 601, 100):
            give(pipeline.folder, first, first + 99, LARGE)
        watched.until("journal_full", 1)
        seen = watched.seen
        assert seen.value("journal_used_bytes") >= seen.value("journal_quota_bytes") == 16 * 2**20
        assert seen.value("pending_scans", destination="cache") < 600
        assert watched.site.ready()
        assert "quota is used up: sources pause" in watched.site.get("/").text
        told = watched.status()["journal"]
        assert told["used_bytes"] >= told["quota_bytes"]
        assert "is full: sources pause" in pipeline.call("status").stdout

        proxy.set(Mode.PASS)
        watched.until("delivered_scans_total", 600, destination="cache")
        watched.until("source_taken_total", 600, source="spool")
        until(lambda: watched.site.scrape().value("journal_full") == 0, what="room again")
