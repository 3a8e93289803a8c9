"""Dead letters are replayed twice while the process is killed: each arrives once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.filed import each_and_lake
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, until
from support.soundness import problems

LETTERS = 1000
FOLDERS = each_and_lake(20)
NEW = ("--class", "rule")


@pytest.mark.fault("F-34")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_letters_replayed_twice_and_through_kills_arrive_once(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    oracle = Oracle()
    # A scan without a confidence makes the rule fail for it.
    strict = {name: options | {"when": "confidence > 0.5"} for name, options in FOLDERS.items()}
    with Pipeline(tmp_path / "it", strict) as pipeline:
        file = tmp_path / "scans.jsonl"
        file.write_bytes(b"".join(oracle.give(number) + b"\n" for number in range(1, LETTERS + 1)))
        assert pipeline.call("send", str(file)).returncode == 0
        assert {row.dead for row in pipeline.status().values()} == {LETTERS}

        pipeline.write(FOLDERS)
        kills = 0
        for share in (0.0, 0.2, 0.5, 0.8):
            run = pipeline.start()
            run.ready()
            replayed = pipeline.call("dlq replay", *NEW)
            assert replayed.returncode == 0, replayed.stderr
            until(
                lambda share=share: pipeline.status()["each"].delivered > share * LETTERS,  # type: ignore[misc]
                within=60,
                what="delivering some of it",
            )
            run.kill()
            kills += 1
            assert problems(pipeline.state, oracle.given) == []
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr
        again = pipeline.call("dlq replay")
        assert again.returncode == 0, again.stderr
        assert pipeline.until_idle().returncode == 0
        status = {name: (row.delivered, row.dead) for name, row in pipeline.status().items()}
        assert status == dict.fromkeys(FOLDERS, (LETTERS, 0))
        assert problems(pipeline.state, oracle.given) == [], "the chain of receipts verifies"
    for name in FOLDERS:
        assert str(oracle.compare(held_in(tmp_path / "it" / name))) == "no difference"
    record_property("letters", LETTERS)
    record_property("kills", kills)
