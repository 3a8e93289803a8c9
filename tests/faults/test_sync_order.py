"""Nobody is told that a scan is safe before the disk has it."""

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.pipeline import Pipeline, until
from support.tracing import Call, calls, early, strace

HELD: dict[str, Any] = {
    "type": "file",
    "directory": "archive",
    "key": "rest/{batch_id}.{ext}",
    "batch": {"max_age": "1h"},
}
TRACED = "fdatasync,fsync,pwrite64,write,sendto,unlink,linkat"
MARK = re.compile(r"mark\d{4}")


def _scan(number: int) -> str:
    return json.dumps({"scan_id": f"mark{number:04d}", "timestamp": "2026-05-06T12:00:00Z"})


def _pipeline(folder: Path, mutant: str, **settings: Any) -> Pipeline:
    return Pipeline(folder / "it", main=(sys.executable, "-m", "support.mutant_main", mutant), **settings)


def _accepted(trace: list[Call]) -> list[tuple[str, int]]:
    """Every scan id that left the process in an answer or on standard output, and when."""
    told = [call for call in trace if call.name == "sendto" or (call.name == "write" and '"accepted ' in call.text)]
    return [(mark, call.begun) for call in told for mark in MARK.findall(call.text)]


def _sent_to_a_running_exporter(folder: Path, mutant: str) -> list[Call]:
    """The calls of an exporter that was sent three scans, one after another."""
    with _pipeline(folder, mutant, destinations={"rest": HELD}) as pipeline:
        run = pipeline.start(before=strace(folder / "trace", TRACED))
        run.ready(within=60)
        for number in range(3):
            file = folder / f"{number}.json"
            file.write_text(_scan(number))
            answer = pipeline.call("send", str(file))
            assert answer.stdout == f"accepted mark{number:04d}\n", answer.stderr
        os.kill(pipeline.owner, signal.SIGTERM)  # the program itself, which strace started
        assert run.ended() == 0
    return calls(folder / "trace")


@pytest.mark.timeout(120)
@pytest.mark.fault("F-02")
def test_a_running_exporter_answers_only_after_the_write_ahead_log_is_synced(tmp_path: Path) -> None:
    trace = _sent_to_a_running_exporter(tmp_path, "none")
    told = _accepted(trace)

    assert {mark for mark, _ in told} == {"mark0000", "mark0001", "mark0002"}
    assert early(trace, told) == []


@pytest.mark.timeout(120)
@pytest.mark.fault("F-02")
def test_synchronous_normal_is_caught(tmp_path: Path) -> None:
    trace = _sent_to_a_running_exporter(tmp_path, "synchronous_normal")

    assert early(trace, _accepted(trace))


@pytest.mark.timeout(120)
@pytest.mark.fault("F-02")
def test_send_on_its_own_prints_accepted_only_after_the_sync(tmp_path: Path) -> None:
    with _pipeline(tmp_path, "none", destinations={"rest": HELD}) as pipeline:
        file = tmp_path / "scans.jsonl"
        file.write_text("".join(_scan(number) + "\n" for number in range(250)))
        run = pipeline.start(str(file), command="send", before=strace(tmp_path / "trace", TRACED))
        assert run.ended(60) == 0
    trace = calls(tmp_path / "trace")
    told = _accepted(trace)

    assert [mark for mark, _ in told] == [f"mark{number:04d}" for number in range(250)]
    assert early(trace, told) == []


def _delivered(folder: Path, mutant: str) -> list[Call]:
    """The calls of an exporter that took twenty scans from a spool, one by one, and archived them in batches of four."""
    spool = folder / "it" / "spool"
    spool.mkdir(parents=True)
    for number in range(20):
        (spool / f"mark{number:04d}.json").write_text(_scan(number))
    archive = HELD | {"batch": {"max_records": 4, "max_age": "50ms"}}
    sources = {"spool": {"type": "spool", "directory": "spool", "records": 1}}
    with _pipeline(folder, mutant, destinations={"rest": archive}, sources=sources) as pipeline:
        run = pipeline.start("--until-idle", before=strace(folder / "trace", TRACED))
        assert run.ended(60) == 0
        until(lambda: not any(spool.iterdir()))
    return calls(folder / "trace")


def _acked(trace: list[Call]) -> list[tuple[str, int]]:
    gone = [call for call in trace if call.name == "unlink" and "/spool/" in call.text]
    return [(MARK.findall(call.text)[0], call.begun) for call in gone]


@pytest.mark.timeout(120)
@pytest.mark.fault("F-02")
def test_a_source_is_acked_after_the_sync_and_a_batch_is_sent_after_the_sync_of_its_sealing(tmp_path: Path) -> None:
    trace = _delivered(tmp_path, "none")
    acked = _acked(trace)
    named = re.compile(r'"(\d{12}-[0-9a-f]{16})\.jsonl"')
    sent = [(name, call.begun) for call in trace if call.name == "linkat" for name in named.findall(call.text)]

    assert len(acked) == 20
    assert early(trace, acked) == []
    assert sent
    assert early(trace, sent) == []


@pytest.mark.timeout(120)
@pytest.mark.fault("F-02")
def test_an_ack_before_the_commit_is_caught(tmp_path: Path) -> None:
    trace = _delivered(tmp_path, "ack_before_commit")

    assert early(trace, _acked(trace))
