"""The endpoint of a running exporter, asked by a genuine client over its socket."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.filed import FILES, all_filed
from support.oracle import small_scan
from support.pipeline import Pipeline, until
from support.redis_looks import client, new_name
from support.scrape import PREFIX, Site, families

from scribe_export.endpoint.catalogue import CATALOGUE
from scribe_export.endpoint.server import MAX_CONNECTIONS
from scribe_local.servers import LocalServer

SPOOL: dict[str, dict[str, Any]] = {"spool": {"type": "file", "path": "spool/*.jsonl", "poll_interval": "20ms"}}

EVERYWHERE = "0.0.0.0"  # noqa: S104 - the warning of it is what is tested


def give(folder: Path, first: int, last: int, *lines: bytes) -> None:
    (folder / "spool").mkdir(exist_ok=True)
    scans = [small_scan(number) for number in range(first, last + 1)]
    (folder / "spool" / f"{first:05d}.jsonl").write_bytes(b"\n".join([*scans, *lines]) + b"\n")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """It has delivered three scans, one of which came twice, and was given a line that is none."""
    folder = tmp_path_factory.mktemp("endpoint")
    with Pipeline(folder / "it", FILES, sources=SPOOL, http="127.0.0.1:0") as running:
        give(running.folder, 1, 3, small_scan(3), b'{"no": "scan"}')
        running.start()
        until(lambda: len(all_filed(running.folder)) == 3, what="delivering")
        yield running


@pytest.fixture
def site(pipeline: Pipeline) -> Site:
    pipeline.runs[0].ready()
    return Site.of(pipeline.runs[0])


@pytest.mark.parametrize("openmetrics", [False, True])
def test_prometheus_own_parser_reads_every_metric_as_it_is_documented(site: Site, *, openmetrics: bool) -> None:
    accept = "application/openmetrics-text; version=1.0.0, text/plain;q=0.5" if openmetrics else "text/plain"
    answer = site.get("/metrics", accept=accept)
    wanted = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
    assert answer.headers["content-type"] == f"{wanted}; charset=utf-8"
    found = {family.name: family for family in families(answer.text, openmetrics=openmetrics)}
    # Both parsers name a counter without its suffix.
    metrics = {(PREFIX + one.name).removesuffix("_total" if one.kind == "counter" else "\0"): one for one in CATALOGUE}
    assert found.keys() == metrics.keys()
    for name, metric in metrics.items():
        family = found[name]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert all(sample.labels.keys() - {"le"} == set(metric.labels) for sample in family.samples)


def test_the_metrics_tell_what_came_and_where_it_went(pipeline: Pipeline, site: Site) -> None:
    seen = site.until("delivered_scans_total", 3, destination="files")
    size = sum(len(small_scan(number)) for number in (1, 2, 3))
    assert seen.value("delivered_bytes_total", destination="files") == size
    assert seen.value("pending_scans", destination="files") == 0
    assert seen.value("oldest_pending_age_seconds", destination="files") == 0
    assert seen.value("attempts_total", destination="files", outcome="delivered") >= 1
    assert seen.value("delivery_age_seconds_count", destination="files") == 3
    assert seen.value("write_seconds_count", destination="files") >= 1
    assert seen.value("breaker_state", destination="files", state="closed") == 1
    assert seen.value("source_taken_total", source="spool") == 5
    assert seen.value("source_duplicates_total", source="spool") == 1
    assert seen.value("source_rejected_total", source="spool") == 1
    assert seen.value("source_lag_seconds", source="spool") > 0
    assert 0 <= time.time() - seen.value("source_last_taken_timestamp_seconds", source="spool") < 60
    assert seen.value("source_state", source="spool", state="reading") == 1
    assert seen.value("unplaced_dead_letters") == 1
    assert seen.value("unplaced_dead_lettered_total", class_="invalid") == 1
    assert seen.value("journal_quota_bytes") == 2**30
    assert 0 < seen.value("journal_used_bytes") < 2**22
    assert seen.value("journal_commit_seconds_count") >= 1
    assert seen.value("process_resident_memory_bytes") > 2**20
    assert seen.value("ready") == 1
    for number in (1, 2, 3):
        text = site.get("/metrics").text
        assert f'"{number}"' not in text.replace('le="1"', "")
        assert small_scan(number)[-40:-2].decode() not in text


def test_probes_are_answered_whatever_the_host_header_says(site: Site) -> None:
    for path in ("/livez", "/readyz"):
        for host in ("127.0.0.1", "rebound.example", ""):
            answer = site.get(path, host=host)
            assert (answer.status, answer.text) == (200, "ok\n")


def test_status_is_that_of_the_command(pipeline: Pipeline, site: Site) -> None:
    shown, printed = json.loads(site.get("/status").text), json.loads(pipeline.call("status", "--json").stdout)
    for document in (shown, printed):
        document["sources"]["spool"].pop("last_taken_seconds")
        document["journal"].pop("used_bytes")
    assert shown == printed
    assert shown["running"] is True
    assert shown["sources"]["spool"] == {"state": "reading", "reason": "", "taken": 5}
    assert shown["journal"]["quota_bytes"] == 2**30
    text = pipeline.call("status").stdout
    assert "source spool: reading, 5 taken, the last " in text
    assert " of its quota of 1.0 GiB" in text


def test_the_page_is_whole_by_itself(site: Site) -> None:
    answer = site.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "<td>files</td>" in answer.text
    assert "<td>spool</td>" in answer.text
    assert "http://" not in answer.text.replace('http-equiv="refresh"', "")


def test_only_what_is_there_can_be_read_and_nothing_changed(site: Site) -> None:
    for path in ("/", "/metrics", "/livez"):
        got, head = site.get(path), site.get(path, "HEAD")
        assert (head.status, head.body, head.headers.keys()) == (200, b"", got.headers.keys())
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            refused = site.get(path, method)
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    for path in ("/x", "/metrics/", "//", "/../export.yaml", "/livez%00"):
        assert site.get(path).status == 404
    assert site.get("/", padding="x" * 9000).status == 431


def _said(site: Site, sent: bytes) -> bytes:
    with socket.create_connection((site.host, site.port), timeout=15) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_garbage_slow_clients_and_many_of_them_disturb_nobody(pipeline: Pipeline, site: Site) -> None:
    assert _said(site, b"\x16\x03\x01" + bytes(range(256)) * 20).startswith(b"HTTP/1.1 400 ")
    assert _said(site, b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000).startswith(b"HTTP/1.1 431 ")
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((site.host, site.port), timeout=15))
            for _ in range(2 * MAX_CONNECTIONS)
        ]
        for connection in slow:
            connection.sendall(b"GET /metrics HT")
        give(pipeline.folder, 101, 120)
        until((pipeline.folder / "archive" / "scans" / "120.json").exists, what="delivering meanwhile")
        assert b"".join(iter(lambda: slow[0].recv(65536), b"")).startswith(b"HTTP/1.1 408 ")
    assert site.ready()
    assert not [
        entry for entry in pipeline.runs[0].events() if entry["event"] in {"page failed", "http failed", "text"}
    ]


def test_scrapes_at_the_same_time_are_all_answered(site: Site) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(site.get("/metrics").status)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40


def test_a_port_in_use_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Pipeline(tmp_path / "it", FILES, sources=SPOOL, http=address) as pipeline:
            give(pipeline.folder, 1, 3)
            ended = pipeline.until_idle()
            assert ended.returncode == 2
            assert ended.stderr.startswith(
                f"{pipeline.path}:6:3: http: cannot listen on {address}: Address already in use;"
            )
            assert not pipeline.state.exists()


def test_a_host_that_others_reach_is_warned_of(tmp_path: Path) -> None:
    with Pipeline(tmp_path / "it", FILES, http=f"{EVERYWHERE}:0") as pipeline:
        assert pipeline.until_idle().returncode == 0
        run = pipeline.start("--until-idle")
        assert run.ended() == 0
        assert run.said("http open to others", addresses=[EVERYWHERE])


def test_ipv6_stands_in_brackets(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with Pipeline(tmp_path / "it", FILES, http="[::1]:0") as pipeline:
        run = pipeline.start()
        run.ready()
        assert run.said("http ready")[0]["urls"][0].startswith("http://[::1]:")
        assert Site.of(run).ready()
        assert not run.said("http open to others")


def test_it_ends_with_the_exporter(tmp_path: Path) -> None:
    with Pipeline(tmp_path / "it", FILES, http="127.0.0.1:0") as pipeline:
        run = pipeline.start()
        run.ready()
        site = Site.of(run)
        assert site.ready()
        run.terminate()
        assert run.ended() == 0
        with pytest.raises(ConnectionError):
            site.get("/livez")
        left = json.loads(pipeline.call("status", "--json").stdout)
        assert (left["running"], left["sources"], left["journal"]["quota_bytes"]) == (False, {}, 2**30)


def test_without_a_journal_on_disk_it_shows_the_same(tmp_path: Path, redis: LocalServer) -> None:
    name = new_name("stream")
    source = {"type": "redis", "url": f"redis://{redis.address}", "stream": name, "group": "exporters"}
    letters = {"type": "file", "directory": "letters", "key": "letters/{scan_id}.json"}
    with (
        Pipeline(
            tmp_path / "it", {**FILES, "letters": letters}, sources={"queue": source}, buffer="none",
            dead_letter="letters", http="127.0.0.1:0",
        ) as pipeline,
        client(redis.port) as connection,
    ):  # fmt: skip
        run = pipeline.start()
        run.ready()
        for body in (*(small_scan(number) for number in range(1, 6)), b"{}"):
            connection.xadd(name, {"document": body})
        site = Site.of(run)
        site.until("delivered_scans_total", 1, destination="letters")
        seen = site.until("delivered_scans_total", 5, destination="files")
        assert seen.value("unplaced_dead_lettered_total", class_="invalid") == 1
        assert (seen.value("journal_wal_bytes"), seen.value("journal_full")) == (0, 0)
        assert seen.value("source_taken_total", source="queue") == 6
        assert seen.value("source_taken_total", source="dead_letter") == 1
        assert json.loads(site.get("/status").text)["destinations"]["files"]["delivered"] == 5
        assert site.ready()
        run.terminate()
        assert run.ended() == 0
