"""What an operator does to a pipeline at work: hold a destination, take one out, copy the journal, check it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, environment, until

from scribe_local.process import free_port

pytestmark = pytest.mark.timeout(120)
SPOOL = {"scans": {"type": "file", "path": "scans/*.jsonl", "poll_interval": "20ms"}}


def folder(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "file",
        "directory": name,
        "key": "all/{scan_id}.json",
        "batch": {"max_records": 10, "max_age": "20ms"},
        **more,
    }


BOTH = {"lake": folder("lake"), "rest": folder("rest")}


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


@pytest.fixture
def pipeline(tmp_path: Path) -> Any:
    with Pipeline(tmp_path / "it", BOTH, sources=SPOOL) as made:
        (made.folder / "scans").mkdir()
        yield made


def give(pipeline: Pipeline, oracle: Oracle, first: int, last: int, size: int = 700) -> None:
    data = b"".join(oracle.give(number, size) + b"\n" for number in range(first, last + 1))
    whole = pipeline.folder / f"{first:05d}"
    whole.write_bytes(data)
    whole.rename(pipeline.folder / "scans" / f"{first:05d}.jsonl")


def delivered(pipeline: Pipeline, name: str, count: int) -> None:
    until(lambda: pipeline.status()[name].delivered == count, what=f"{count} at {name}")


def difference(pipeline: Pipeline, oracle: Oracle, name: str) -> str:
    return str(oracle.compare(held_in(pipeline.folder / name)))


def test_a_paused_destination_gets_nothing_over_a_kill_until_it_is_resumed_and_no_other_waits(
    pipeline: Pipeline, oracle: Oracle
) -> None:
    run = pipeline.start()
    run.ready()
    assert pipeline.call("pause", "lake").stdout == "lake is paused\n"
    assert pipeline.call("pause", "lake").stdout == "lake was paused already\n"
    give(pipeline, oracle, 1, 50)
    delivered(pipeline, "rest", 50)
    run.kill()
    run = pipeline.start()
    run.ready()
    give(pipeline, oracle, 51, 60)
    delivered(pipeline, "rest", 60)
    row = pipeline.status()["lake"]
    assert (row.pending, row.delivered, row.paused) == (60, 0, True)
    assert "lake (paused)" in pipeline.call("status").stdout
    assert pipeline.call("resume", "lake").stdout == "lake is resumed\n"
    delivered(pipeline, "lake", 60)
    assert difference(pipeline, oracle, "lake") == difference(pipeline, oracle, "rest") == "no difference"
    outcomes = [outcome for (outcome,) in pipeline.query("SELECT outcome FROM receipt WHERE count = 0 ORDER BY id")]
    assert outcomes == ["paused", "resumed"]


def test_a_run_until_idle_does_not_wait_for_a_paused_destination(pipeline: Pipeline, oracle: Oracle) -> None:
    assert pipeline.call("pause", "lake").returncode == 0, "without a running exporter"
    give(pipeline, oracle, 1, 20)
    ended = pipeline.until_idle(within=20)
    assert ended.returncode == 1, "something is undelivered"
    assert [pipeline.status()[name].pending for name in ("lake", "rest")] == [20, 0]


@pytest.mark.parametrize("running", [True, False])
def test_resume_tries_a_held_destination_at_once_whatever_rest_it_was_given(
    pipeline: Pipeline, oracle: Oracle, running: bool
) -> None:
    stubborn = {
        **BOTH["lake"],
        "retry": {"base_delay": "1h", "max_delay": "1h"},
        "breaker": {"timeout": "1h", "failure_threshold": 1},
    }
    pipeline.write({"lake": stubborn}, sources=SPOOL)
    (pipeline.folder / "lake").mkdir()
    (pipeline.folder / "lake" / "all").write_text("in the way")
    run = pipeline.start()
    run.ready()
    give(pipeline, oracle, 1, 30)
    until(lambda: pipeline.status()["lake"].breaker == "open", what="holding it")
    (pipeline.folder / "lake" / "all").unlink()
    if not running:
        run.kill()
    assert pipeline.call("resume", "lake").stdout == "lake was not paused; it is tried now\n"
    if not running:
        pipeline.start().ready()
    delivered(pipeline, "lake", 30)
    assert difference(pipeline, oracle, "lake") == "no difference"


def test_a_second_process_is_told_of_the_first_and_not_of_its_port(pipeline: Pipeline) -> None:
    pipeline.write(BOTH, sources=SPOOL, http=f"127.0.0.1:{free_port()}")
    first = pipeline.start()
    first.ready()
    second = pipeline.call("run")
    assert (second.returncode, f"process {first.process.pid}" in second.stderr) == (3, True), second.stderr


@pytest.mark.parametrize("words", ["dlq list", "dlq replay", "dlq discard", "audit export"])
def test_a_destination_that_never_was_is_a_mistake_and_no_empty_answer(pipeline: Pipeline, words: str) -> None:
    pipeline.until_idle()
    ended = pipeline.call(words, "--destination", "laek")
    assert (ended.returncode, 'no destination "laek", did you mean "lake"?' in ended.stderr) == (2, True)


@pytest.mark.parametrize("words", ["status --json", "schema", "dlq list", "audit export"])
def test_an_output_that_cannot_be_written_is_told_in_words(pipeline: Pipeline, oracle: Oracle, words: str) -> None:
    give(pipeline, oracle, 1, 3)
    pipeline.until_idle()
    name, *options = words.split()
    line = [*pipeline.main, name, *(option for option in options if not option.startswith("-"))]
    line += [] if words == "schema" else [str(pipeline.path)]
    line += [option for option in options if option.startswith("-")]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environment())
    assert ended.returncode == 1
    assert "could not be written" in ended.stderr or "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_pausing_a_name_that_is_not_in_the_config_names_the_nearest(pipeline: Pipeline) -> None:
    ended = pipeline.call("pause", "lak")
    assert ended.returncode == 2
    assert 'no destination "lak", did you mean "lake"?' in ended.stderr


def _leave_with_a_backlog(pipeline: Pipeline, oracle: Oracle) -> Path:
    """`lake` cannot be written, has 40 scans to get, and is taken out of the config; returns the config of before."""
    (pipeline.folder / "lake").write_text("in the way")
    give(pipeline, oracle, 1, 40)
    assert pipeline.until_idle("--max-wait", "2s").returncode == 1
    old = pipeline.path.with_name("old.yaml")
    shutil.copy(pipeline.path, old)
    pipeline.write({"rest": BOTH["rest"]}, sources=SPOOL)
    return old


@pytest.mark.parametrize("running", [True, False])
def test_the_backlog_of_a_destination_that_left_is_drained_as_its_old_config_says(
    pipeline: Pipeline, oracle: Oracle, running: bool
) -> None:
    old = _leave_with_a_backlog(pipeline, oracle)
    if running:
        pipeline.start().ready()
    held = pipeline.call("destination drain", "lake", "--from", str(old), "--max-wait", "1s")
    assert held.returncode == 1
    assert "lake: 40 still wait" in held.stdout
    (pipeline.folder / "lake").unlink()
    ended = pipeline.call("destination drain", "lake", "--from", str(old), "--max-wait", "60s")
    assert (ended.returncode, ended.stdout) == (0, "lake has everything and has left the journal\n"), ended.stderr
    assert difference(pipeline, oracle, "lake") == "no difference"
    assert list(pipeline.status()) == ["rest"]
    exported = [json.loads(line) for line in pipeline.call("audit export", "--jsonl").stdout.splitlines()]
    there = {
        line["scan_id"] for line in exported if line.get("destination") == "lake" and line["outcome"] == "delivered"
    }
    assert there == set(oracle.given), "the receipts of a destination that is gone still name their scans"
    again = pipeline.call("destination drain", "lake", "--from", str(old))
    assert (again.returncode, 'knows no destination "lake"' in again.stderr) == (2, True)


def test_a_backlog_that_is_given_up_has_receipts_that_cover_every_scan(pipeline: Pipeline, oracle: Oracle) -> None:
    _leave_with_a_backlog(pipeline, oracle)
    pipeline.start().ready()
    refused = pipeline.call("destination discard", "lake", "--json")
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    ended = pipeline.call("destination discard", "lake", "--yes")
    assert ended.stdout == "lake has left the journal, and 40 scans with it\n"
    covered = pipeline.query("SELECT sum(count) FROM receipt WHERE destination='lake' AND outcome='discarded'")
    assert covered == [(40,)]
    assert "lake" not in pipeline.status()
    until(lambda: pipeline.query("SELECT count(*) FROM body") == [(0,)], what="collecting the bodies")
    trace = json.loads(pipeline.call("trace", "7", "--json").stdout)
    steps = {step["destination"]: step["state"] for step in trace["versions"][0]["steps"]}
    assert steps == {"rest": "delivered", "lake": "discarded"}


def test_a_destination_in_the_config_is_neither_drained_nor_discarded(pipeline: Pipeline) -> None:
    pipeline.until_idle()
    for words in (("drain", "--from", str(pipeline.path)), ("discard", "--yes")):
        ended = pipeline.call(f"destination {words[0]}", "lake", *words[1:])
        assert ended.returncode == 2
        assert "take it out of the file first" in ended.stderr


def test_a_copy_made_while_scans_are_delivered_is_a_journal_from_which_nothing_is_missing(
    pipeline: Pipeline, oracle: Oracle, tmp_path: Path
) -> None:
    run = pipeline.start()
    run.ready()
    pipeline.call("pause", "lake")
    give(pipeline, oracle, 1, 60)
    give(pipeline, oracle, 61, 63, size=600_000)
    delivered(pipeline, "rest", 63)
    copy = tmp_path / "copy"
    made = pipeline.call("journal backup", str(copy), "--json")
    assert json.loads(made.stdout)["scans"] == 63
    assert [oct(path.stat().st_mode & 0o077) for path in (copy, *copy.rglob("*"))] == ["0o0"] * (
        1 + len(list(copy.rglob("*")))
    )
    assert pipeline.call("journal backup", str(copy)).returncode == 1, "a copy is never written over"

    there = tmp_path / "there"
    there.mkdir()
    (there / "state").mkdir()
    copy.rename(there / "state" / "default")
    with Pipeline(there, BOTH) as restored:
        assert restored.call("journal check").returncode == 0
        assert restored.query("SELECT value FROM meta WHERE key='uuid'") != pipeline.query(
            "SELECT value FROM meta WHERE key='uuid'"
        )
        restored.call("resume", "lake")
        assert restored.until_idle().returncode == 0
        assert difference(restored, oracle, "lake") == "no difference"
    pipeline.call("resume", "lake")
    delivered(pipeline, "lake", 63)


def test_a_check_finds_a_lost_file_and_a_flipped_byte_and_says_of_which_scan(
    pipeline: Pipeline, oracle: Oracle
) -> None:
    pipeline.call("pause", "lake")
    give(pipeline, oracle, 1, 3)
    give(pipeline, oracle, 4, 5, size=600_000)
    pipeline.until_idle()
    sound = pipeline.call("journal check")
    assert (sound.returncode, "5 bodies" in sound.stdout) == (0, True)
    first, second = sorted((pipeline.state / "blobs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    first.unlink()
    with second.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff")
    found = pipeline.call("journal check", "--json")
    assert found.returncode == 1
    problems = json.loads(found.stdout)["problems"]
    assert [problem.split(":")[0] for problem in problems] == ["scan 4 (number 4)", "scan 5 (number 5)"]
    assert (f"blobs/{first.parent.name}/{first.name} is missing" in problems[0], "sha256" in problems[1]) == (True,) * 2


def test_a_copy_that_cannot_be_written_leaves_nothing_behind(pipeline: Pipeline, oracle: Oracle) -> None:
    give(pipeline, oracle, 1, 3)
    pipeline.until_idle()
    (pipeline.folder / "file").write_text("")
    ended = pipeline.call("journal backup", str(pipeline.folder / "file" / "copy"))
    assert (ended.returncode, "could not be copied there" in ended.stderr) == (1, True)
    assert not list(pipeline.folder.rglob("*unfinished*"))
