"""A disk that reports an error: the process stops, and what it had acknowledged is there."""

import sys
import time
from pathlib import Path

import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline
from support.tracing import calls, strace

DELIVERY = 3


@pytest.mark.timeout(120)
@pytest.mark.parametrize("failing", [3, 25])
@pytest.mark.fault("F-18")
def test_a_sync_that_fails_ends_the_process_with_4_and_loses_nothing(tmp_path: Path, failing: int) -> None:
    oracle = Oracle()
    spool = tmp_path / "it" / "spool"
    spool.mkdir(parents=True)
    archive = {
        "type": "file",
        "directory": "archive",
        "key": "rest/{batch_id}.{ext}",
        "batch": {"max_records": 10, "max_age": "20ms"},
    }
    sources = {"spool": {"type": "spool", "directory": "spool", "records": DELIVERY}}
    main = (sys.executable, "-m", "support.mutant_main", "none")
    with Pipeline(tmp_path / "it", {"rest": archive}, sources=sources, main=main) as pipeline:
        assert pipeline.until_idle().returncode == 0
        for number in range(1, 301):
            (spool / f"{number:04d}.json").write_bytes(oracle.give(number))
        injection = ("-e", f"inject=fdatasync:error=EIO:when={failing}")
        run = pipeline.start(before=strace(tmp_path / "trace", "fdatasync,unlink", *injection))
        assert run.ended(60) == 4
        reason = run.said("text")[-1]["line"]
        assert "outcome of a commit is unknown" in reason
        assert "disk I/O error" in reason
        assert not [line for line in run.said("text") if "Traceback" in line["line"]]

        trace = calls(tmp_path / "trace")
        failed = next(call.begun for call in trace if call.failed and call.name == "fdatasync")
        late = [call for call in trace if call.begun > failed and "/spool/" in call.text]
        assert len(late) <= DELIVERY, "only the delivery whose commit had returned before may still be acked"

        started = time.monotonic()
        finished = pipeline.until_idle()
        assert finished.returncode == 0, finished.stderr
        assert time.monotonic() - started < 30
    assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"
