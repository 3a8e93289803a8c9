"""The exporter of a host's process ends with it, and is opened anew when it had to end before."""

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import Any

from scribe_export import config
from scribe_export.errors import JournalUnusable
from scribe_export.hosts.arriving import Arrival
from scribe_export.hosts.events import Events
from scribe_export.hosts.resident import Resident

MESSAGE = {
    "messageId": "m1",
    "body": '{"scan_id": 1}',
    "attributes": {},
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:scans",
}
ENVIRONMENT = {"SCRIBE_EXPORT_CONFIG": "export.yaml", "AWS_LAMBDA_FUNCTION_NAME": "scribe-scan-function"}
PROGRAM = """
import json, pathlib, sys, time
from anyio import to_thread
from scribe_export import Sink, register_sink

class Slow(Sink):
    async def write(self, encoded):
        pathlib.Path("begun").touch()
        await to_thread.run_sync(time.sleep, 2)
        pathlib.Path("written").touch()

register_sink("slow", Slow)

from scribe_export.hosts.aws_lambda import handler

class Invocation:
    aws_request_id = "8476a536"

    def get_remaining_time_in_millis(self):
        return 1500 if len(sys.argv) > 3 else 20_000

print(json.dumps(handler({"Records": [json.loads(sys.argv[1])]}, Invocation())), flush=True)
time.sleep(float(sys.argv[2]))
"""


def placed(folder: Path, **destinations: Any) -> Path:
    queue = {"type": "aws_sqs", "queue_url": "http://127.0.0.1:1/000000000000/scans", "dead_letter_queue": True}
    archive = {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}
    path = folder / "export.yaml"
    path.write_text(json.dumps({"sources": {"scans": queue}, "destinations": destinations or {"archive": archive}}))
    return path


def begun(folder: Path, seconds: int) -> "subprocess.Popen[str]":
    """A function that was invoked once, and its answer came."""
    placed(folder)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(MESSAGE), str(seconds)],
        cwd=folder,
        env={"PYTHONPATH": ":".join(sys.path), **ENVIRONMENT},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == '{"batchItemFailures": []}\n'
    assert (folder / "archive/scans/1.json").read_text() == MESSAGE["body"]
    return program


def test_what_is_in_flight_when_a_program_ends_is_settled(tmp_path: Path) -> None:
    placed(tmp_path, slow={"type": "slow"})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(MESSAGE), "0", "short"],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, '{"batchItemFailures": [{"itemIdentifier": "m1"}]}\n'), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "export.yaml", "written"]


def test_a_program_that_ends_does_not_wait_for_its_exporter(tmp_path: Path) -> None:
    with begun(tmp_path, 0) as program:
        assert program.wait(10) == 0


def test_a_program_that_is_told_to_end_does(tmp_path: Path) -> None:
    with begun(tmp_path, 60) as program:
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0


def confirmed(resident: Resident) -> bool:
    settled: dict[str, str] = {}
    arrivals = [Arrival("m1", MESSAGE)]
    resident.wait(lambda events, within: events.take(arrivals, settled, within=within), time.monotonic() + 10)
    return settled == {"m1": ""}


def test_an_exporter_that_was_closed_is_opened_anew(tmp_path: Path) -> None:
    resident = Resident(config.load(placed(tmp_path)))
    for _ in range(2):
        assert confirmed(resident)
        resident.close()
        resident.close()


def test_an_exporter_whose_journal_failed_is_opened_anew(tmp_path: Path) -> None:
    resident = Resident(config.load(placed(tmp_path)))

    async def fail(events: Events, within: float) -> None:
        events._exporter._journal_failed(JournalUnusable("out of memory"))

    assert confirmed(resident)
    with suppress(CancelledError):
        resident.wait(fail, time.monotonic() + 10)
    assert confirmed(resident)
    resident.close()
