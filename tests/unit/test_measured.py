"""What lanes, sources and the journal count while they work, on simulated time."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened
from support.oracle import small_scan
from support.staged import Stage, staged
from support.stepped_clock import SteppedClock

from scribe_export.arrivals import Arrivals
from scribe_export.errors import JournalFull
from scribe_export.journal import settle
from scribe_export.journal.ingest import NO_DESTINATION, Ingested, NewScan
from scribe_export.journal.requests import NewRequest, accept, accept_from, fail, finish
from scribe_export.journal.store import Store
from scribe_export.journal.tally import MAX_CLASSES, Tally
from scribe_export.lane.measured import OUTCOMES, LaneMeter
from scribe_export.model import Record, ScanRequest
from scribe_export.testing.flaky import Fate


def meter(stage: Stage, name: str = "a") -> LaneMeter:
    return stage.exporter.lanes[name].meter


@pytest.mark.parametrize(
    ("fate", "outcome", "unknown"),
    [
        ("refused", "transient", 0),
        ("lost_answer", "transient", 1),
        ("lost_request", "transient", 1),
        ("throttled", "throttled", 0),
        ("misconfigured", "misconfigured", 0),
        ("bug", "bug", 1),
        ("partial", "partial", 0),
    ],
)
def test_each_attempt_is_counted_by_its_outcome_and_whether_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: Fate, outcome: str, unknown: int
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").script.append(fate)
            await stage.give(1, 4)
            await stage.clock.advance(600.0)
            assert stage.idle
            counted = meter(stage)
            assert counted.attempts == {outcome: 1, "delivered": 1}
            assert set(counted.attempts) <= set(OUTCOMES)
            assert (counted.retries, counted.unknown) == (1, unknown)
            assert sum(counted.writes.counts) == 2
            assert sum(counted.ages.counts) == 4

    anyio.run(scenario)


def test_ages_and_writes_are_as_long_as_they_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        slow: dict[str, Any] = {"batch": {"max_age": "20s"}}
        async with staged(tmp_path, monkeypatch, {"a": slow}) as stage:
            stage.sink("a").seconds = 2.0
            await stage.clock.advance(1.0)  # what is there when the lane begins does not wait for more
            await stage.give(1, 3)
            await stage.clock.advance(8.0)
            await stage.give(4, 5)
            await stage.clock.advance(600.0)
            counted = meter(stage)
            assert counted.writes.total == pytest.approx(2.0)
            # 22 s for the first three, 14 for the others.
            assert counted.ages.total == pytest.approx(3 * 22.0 + 2 * 14.0)
            bounds = dict(zip((*counted.ages.bounds, "more"), counted.ages.counts, strict=True))
            assert bounds[30.0] == 5

    anyio.run(scenario)


def test_what_waits_is_counted_once_though_it_came_before_the_sink_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {"batch": {"max_age": "1h"}}}) as stage:
            lane = stage.exporter.lanes["a"]
            stage.sink("a").script.extend(["hang", "hang"])
            await stage.give(1, 7)  # the lane's task has not run yet
            await stage.clock.advance(1.0)
            assert (lane.load.pending, lane.load.in_flight, lane.load.width) == (7, 1, 4)
            await stage.give(8, 9)
            await stage.clock.advance(1.0)
            assert (lane.load.pending, lane.load.in_flight) == (9, 1)
            assert lane.load.size == sum(len(small_scan(number, 200)) for number in range(1, 10))
            stage.sink("a").release()
            await stage.clock.advance(1.0)
            assert (lane.load.pending, lane.load.in_flight) == (2, 0)
            stage.exporter.flush()
            await stage.clock.advance(1.0)
            stage.sink("a").release()
            await stage.clock.advance(1.0)
            assert (lane.load.pending, lane.load.size) == (0, 0)

    anyio.run(scenario)


def test_throttling_shows_in_the_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            stage.sink("a").throttling = 1
            await stage.give(1, 1)
            await stage.clock.advance(0.01)
            assert stage.exporter.lanes["a"].load.width == 2

    anyio.run(scenario)


def test_dead_letters_are_counted_by_class_as_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    when = {"when": 'scan.colour == "red"'}

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}, "ruled": when}) as stage:
            stage.sink("a").script.append("rejected")
            await stage.give(1, 1)
            await stage.clock.advance(60.0)
            await stage.give(2, 3)
            await stage.exporter.accept([body_of(3, other=True)], source="test")
            await stage.clock.advance(600.0)
            tally = stage.exporter.store.database.tally
            ids = {name: row.id for name, row in stage.exporter.rows.items()}
            letters = await stage.dead()
            made = {(ids[letter.destination], letter.kind) for letter in letters}
            assert set(tally.dead) == made
            assert sum(tally.dead.values()) == len(letters)
            assert {kind for _, kind in made} == {"rejected", "conflict", "rule"}

    anyio.run(scenario)


def test_what_was_undone_was_not_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as db:
        (row,) = destinations(db, "a")
        journalled(db, new_scan(1), NewScan("x", "00" * 32, b"x", "test", invalid=("invalid", "no")))
        assert dict(db.tally.dead) == {(NO_DESTINATION, "invalid"): 1}
        with suppress(JournalFull), db.transaction():
            settle.dead_letter(db, row.id, {1: ("rejected", "why")})
            raise JournalFull("no room")
        assert dict(db.tally.dead) == {(NO_DESTINATION, "invalid"): 1}
        with db.transaction():
            settle.dead_letter(db, row.id, {1: ("rejected", "why")})
        assert db.tally.dead[row.id, "rejected"] == 1


def test_requests_are_counted_as_they_end(tmp_path: Path) -> None:
    request = ScanRequest("sine", 1.0, 1.0, 1.0)
    with opened(tmp_path) as db:
        with db.transaction():
            for name in ("a", "b", "c"):
                accept(db, name, request)
            finish(db, "a", seq=None, answer=b"")
            fail(db, "b", "why")
        assert dict(db.tally.requests) == {"done": 1, "failed": 1}
        with db.transaction():
            wrong = NewRequest("d", request, b"{}", invalid="no such signal")
            accept_from(db, [NewRequest("e", request, b"{}"), wrong], source="asks", replies=False)
        assert dict(db.tally.refused) == {"asks": 1}
        assert dict(db.tally.dead) == {(NO_DESTINATION, "request"): 1}


def test_classes_without_end_are_counted_as_one() -> None:
    tally = Tally()
    for number in range(MAX_CLASSES + 5):
        tally.buried(1, [f"class {number}"])()
    tally.buried(1, ["class 0"])()
    assert len(tally.dead) == MAX_CLASSES + 1
    assert (tally.dead[1, "other"], tally.dead[1, "class 0"]) == (5, 2)


def test_only_commits_that_changed_something_are_timed(tmp_path: Path) -> None:
    async def scenario() -> None:
        with opened(tmp_path) as db:
            store = Store(db)
            store.start()
            await store.do(lambda db: db.count("duplicates", 1))
            await store.do(lambda db: db.meta("duplicates"))
            await store.do(lambda db: db.count("duplicates", 1))
            assert sum(store.meter.commits.counts) == 2
            assert store.meter.commits.total > 0
            assert store.alive
            store.stop()
            assert not store.alive

    anyio.run(scenario)


def _arriving(scan_id: str, timestamp: str | None = None) -> NewScan:
    body = body_of(scan_id, timestamp=timestamp)
    return NewScan(scan_id, "", body, "", record=Record(seq=0, scan_id=scan_id, sha256="", body=body))


def test_arrivals_are_told_apart_by_source_and_by_what_they_are() -> None:
    clock = SteppedClock(now=1_767_225_600.0)  # 2026-01-01T00:00:00Z
    arrivals = Arrivals(["api"], clock)
    scans = [_arriving("1"), _arriving("2", "2025-12-31T23:59:50Z"), _arriving("3"), _arriving("4")]
    results = [Ingested(1, "new"), Ingested(2, "new"), Ingested(1, "duplicate"), Ingested(3, "invalid")]
    arrivals.took("api", scans, results)
    api = arrivals.by_source["api"]
    assert (api.taken, api.duplicates, api.conflicts, api.invalid) == (4, 1, 0, 1)
    assert api.lag == 10.0

    clock.pass_time(60.0)
    arrivals.took("api", [_arriving("5")], [Ingested(1, "duplicate")])
    assert api.lag == 10.0
    arrivals.took("api", [_arriving("6", "nonsense")], [Ingested(9, "new")])
    assert api.lag is None
    arrivals.took("api", [_arriving("7", "2026-01-01T01:00:00Z")], [Ingested(9, "new")])
    assert api.lag == 0.0


def test_sources_that_the_config_does_not_name_are_one() -> None:
    arrivals = Arrivals(["api"], SteppedClock())
    for number in range(1000):
        arrivals.took(f"program {number}", [_arriving("1")], [Ingested(1, "new")])
    arrivals.took("send", [_arriving("1")], [Ingested(1, "new")])
    assert arrivals.by_source["other"].taken == 1000
    assert arrivals.by_source["send"].taken == 1
    assert len(arrivals.by_source) == 7
