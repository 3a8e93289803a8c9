"""A restart with another file: a destination that is new, gone or elsewhere gets its own scans and no others."""

from pathlib import Path
from typing import Any

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline


def _folder(directory: str) -> dict[str, Any]:
    return {
        "type": "file",
        "directory": directory,
        "key": "rest/{batch_id}.{ext}",
        "batch": {"max_records": 10, "max_age": "20ms"},
        "retry": {"base_delay": "50ms", "max_delay": "100ms"},
        "breaker": {"timeout": "100ms"},
    }


def _send(pipeline: Pipeline, oracle: Oracle, first: int, last: int) -> None:
    file = pipeline.folder / "scans.jsonl"
    file.write_bytes(b"".join(oracle.give(number) + b"\n" for number in range(first, last + 1)))
    sent = pipeline.call("send", str(file))
    assert sent.returncode == 0, sent.stderr


@pytest.mark.fault("F-25")
@pytest.mark.timeout(120)
def test_a_destination_is_added_one_with_a_backlog_removed_and_one_moved(tmp_path: Path) -> None:
    before, after = Oracle(), Oracle()
    it = tmp_path / "it"
    old = {"kept": _folder("kept"), "gone": _folder("away/gone"), "moved": _folder("away/old")}
    new = {"kept": _folder("kept"), "moved": _folder("new"), "added": _folder("added")}
    with Pipeline(it, old) as pipeline:
        _send(pipeline, before, 1, 30)
        assert pipeline.until_idle("--max-wait", "2s").returncode == 1
        assert {name: row.pending for name, row in pipeline.status().items()} == {"kept": 0, "gone": 30, "moved": 30}

        pipeline.write(new)
        _send(pipeline, after, 31, 50)
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr
        status = pipeline.status()
        assert (status["gone"].state, status["gone"].pending) == ("orphaned", 30)
        assert status["added"].delivered == 20
        everything = Oracle(before.given | after.given)
        assert str(after.compare(held_in(it / "added"))) == "no difference"
        assert str(everything.compare(held_in(it / "kept"))) == "no difference"
        assert str(everything.compare(held_in(it / "new"))) == "no difference"

        right, journal = pipeline.path.read_bytes(), pipeline.journal
        pipeline.path.write_text("destinations: {kept: [")
        untouched = journal.read_bytes()
        assert pipeline.call("run").returncode == 2
        assert journal.read_bytes() == untouched
        pipeline.path.write_bytes(right)

        (it / "away").mkdir()
        pipeline.write(new | {"gone": old["gone"]})
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr
    assert str(before.compare(held_in(it / "away" / "gone"))) == "no difference"
    assert str(everything.compare(held_in(it / "new"))) == "no difference"
