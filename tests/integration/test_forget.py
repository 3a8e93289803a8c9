"""`forget`: no byte of a scan is left in the state folder, other scans are delivered, and where it went is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.command_line import scan
from support.pipeline import Pipeline, until

from scribe_export.cli.main import main

MARK = "forget-me-7f3a9c"
FOLDER = {"type": "file", "key": "scans/{scan_id}.json"}
RANGE = {"type": "file", "key": "lake/{batch_id}.{ext}", "format": "jsonl"}


def holding(folder: Path, mark: str = MARK) -> list[str]:
    """The files below a folder with the mark's bytes in them."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and mark.encode() in path.read_bytes()
    ]


def call(pipeline: Pipeline, words: str, *more: str) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(main, [*words.split(), str(pipeline.path), *more])


def send(pipeline: Pipeline, *bodies: str) -> None:
    path = pipeline.folder / "scans.jsonl"
    path.write_text("".join(f"{one}\n" for one in bodies))
    done = call(pipeline, "send", str(path))
    assert done.exit_code == 0, done.output


def forget(pipeline: Pipeline, scan_id: str) -> dict[str, Any]:
    done = call(pipeline, "forget", scan_id, "--yes", "--json")
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A folder that gets each scan, and one that waits for batches of hours."""
    destinations: dict[str, dict[str, Any]] = {
        "archive": {**FOLDER, "directory": str(tmp_path / "archive")},
        "lake": {**RANGE, "directory": str(tmp_path / "lake"), "batch": {"max_age": "2h"}},
    }
    with Pipeline(tmp_path / "it", destinations) as found:
        yield found


def ids_at(folder: Path) -> list[str]:
    return sorted(
        str(json.loads(line)["scan_id"]) for path in folder.rglob("*.json*") for line in path.read_text().splitlines()
    )


def test_beside_a_running_exporter_its_bytes_leave_every_file_and_others_arrive(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    large = scan(3, mark=MARK, padding="x" * 400_000)
    run = pipeline.start()
    run.ready()
    send(pipeline, scan(1), scan(2, mark=MARK), large, scan(4))
    until(lambda: pipeline.status()["archive"].delivered == 4, what="the delivery to archive")
    assert len(holding(pipeline.state)) >= 2
    told = forget(pipeline, "2")
    assert (told["bodies"], told["taken_out"], told["unscrubbed"]) == (1, ["lake"], "")
    assert [(one["destination"], one["state"], one["name"]) for one in told["went"]] == [
        ("archive", "delivered", "scans/2.json")
    ]
    assert forget(pipeline, "3")["bodies"] == 1
    assert holding(pipeline.state) == []
    assert json.loads(call(pipeline, "audit verify", "--json").stdout)["sound"] is True
    run.terminate()
    assert run.ended() == 0
    assert pipeline.until_idle().returncode == 0
    assert ids_at(tmp_path / "lake") == ["1", "4"]
    assert ids_at(tmp_path / "archive") == ["1", "2", "3", "4"]
    assert holding(pipeline.state) == []
    trace = call(pipeline, "trace", "2").stdout
    assert "journal: forgotten" in trace
    verified = call(pipeline, "audit verify", "--json")
    assert json.loads(verified.stdout)["sound"] is True
    assert " forgotten - 2 (as 2, answer by an operator: 1 bodies" in call(pipeline, "audit export").stdout


def test_a_body_that_left_long_ago_leaves_the_free_pages_too(pipeline: Pipeline) -> None:
    send(pipeline, *(scan(number, mark=f"{MARK}-{number}") for number in range(1, 40)))
    assert pipeline.until_idle().returncode == 0
    run = pipeline.start()
    until(lambda: pipeline.query("SELECT count(*) FROM body") == [(0,)], what="the collection of bodies")
    run.terminate()
    assert run.ended() == 0
    assert holding(pipeline.state) == ["journal.db"]
    told = forget(pipeline, "7")
    assert (told["bodies"], told["taken_out"]) == (0, [])
    assert {one["destination"] for one in told["went"]} == {"archive", "lake"}
    assert holding(pipeline.state) == []


def test_twice_is_fine_and_what_never_came_is_said(pipeline: Pipeline) -> None:
    send(pipeline, scan(1, mark=MARK), scan(1, mark=MARK, other=True))
    first, second = forget(pipeline, "1"), forget(pipeline, "1")
    assert (first["versions"], first["bodies"], first["dead_letters"]) == (2, 2, 2)
    assert (second["versions"], second["bodies"], second["dead_letters"]) == (2, 0, 0)
    assert holding(pipeline.state) == []
    unknown = call(pipeline, "forget", "99", "--yes")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "scan 99 is not known here" in unknown.stderr
    assert call(pipeline, "forget", "1", "--json").exit_code == 2
    assert pipeline.until_idle().returncode == 0
    assert pipeline.status()["archive"].delivered == 0


def test_the_same_scan_is_known_when_it_comes_again(pipeline: Pipeline) -> None:
    send(pipeline, scan(1, mark=MARK))
    forget(pipeline, "1")
    send(pipeline, scan(1, mark=MARK))
    assert holding(pipeline.state) == []
    assert pipeline.until_idle().returncode == 0
    assert pipeline.status()["archive"].delivered == 0


def test_older_journals_in_the_folder_are_named(pipeline: Pipeline) -> None:
    send(pipeline, scan(1, mark=MARK))
    kept = pipeline.state / "journal.db.damaged-20260301T120000"
    kept.write_bytes(pipeline.journal.read_bytes())
    asked = call(pipeline, "forget", "1")
    assert (asked.exit_code, "Forget scan 1 for good (waiting: archive lake)?" in asked.stderr) == (1, True)
    done = call(pipeline, "forget", "1", "--yes")
    assert done.exit_code == 0
    assert f"{kept} may hold it still" in done.stdout
    assert holding(pipeline.state) == [kept.name]
