"""The WebSocket is cut, stutters and shuffles, and the scanner restarts: every scan arrives once (F-30)."""

import random
import threading
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
import pytest
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline, Run, until
from support.scripted_events import ScriptedEvents
from support.scripted_scribe import ScriptedScribe

from scribe_local import servers

pytestmark = pytest.mark.timeout(180)
GAP = 500
PACKED = {"type": "file", "directory": "archive", "key": "scans/{batch_id}.jsonl", "batch": {"max_age": "100ms"}}
"""One file a batch: a scan that arrives twice is there twice."""


def live(**more: Any) -> dict[str, dict[str, Any]]:
    """The slow look is slower than the test: only events and the look after a subscription bring scans."""
    return {"live": {"type": "scribe_websocket", "poll_interval": "1h", **more}}


def delivered(pipeline: Pipeline) -> int:
    return pipeline.status()["packed"].delivered


@pytest.mark.fault("F-30")
def test_what_completes_while_the_socket_is_away_arrives_once_whatever_the_frames_do(tmp_path: Path) -> None:
    oracle, shuffled = Oracle(), random.Random(30)

    def complete(first: int, count: int, size: int = 700) -> list[int]:
        numbers = list(range(first, first + count))
        for number in numbers:
            api.scans[number] = oracle.give(number, size)
        return numbers

    with ScriptedScribe() as api, ScriptedEvents() as events:
        sources = live(url=api.url, ws_url=events.url)
        with Pipeline(tmp_path / "it", {"packed": PACKED}, sources=sources) as pipeline:
            run = pipeline.start()
            run.wait_for("subscribed")
            events.completed(*complete(1, 20))
            until(lambda: delivered(pipeline) == 20, what="the delivery of what was heard")

            events.drop(refuse=503)
            missed = complete(21, GAP)
            events.completed(*missed)  # nobody is there to hear it
            run.wait_for("not subscribed")
            assert delivered(pipeline) == 20

            events.refuse = None
            until(lambda: len(run.said("subscribed")) == 2, within=60, what="the second subscription")
            until(lambda: delivered(pipeline) == 20 + GAP, within=90, what="the delivery of what nobody heard")
            late = complete(21 + GAP, 60)
            frames = [*range(1, 21), *missed, *late, *late]
            shuffled.shuffle(frames)
            events.completed(*frames)
            events.completed(*complete(81 + GAP, 1, size=5_000_000), audio_data="x" * 5_000_000)
            events.completed(*late)
            until(lambda: delivered(pipeline) >= 81 + GAP, within=90, what="the delivery of all")
            run.terminate()
            assert run.ended() == 0
            assert not run.said("gap")
            assert str(oracle.compare(held_in(tmp_path / "it" / "archive"))) == "no difference"
            assert len(oracle.given) == 81 + GAP


@pytest.mark.fault("F-30")
def test_the_simulator_restarts_in_mid_load_and_no_scan_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        servers.simulator(audio_samples=16, folder=tmp_path / "simulator") as simulator,
        Pipeline(tmp_path / "it", {"packed": PACKED}, sources=live(url=simulator.url)) as pipeline,
    ):
        run = pipeline.start()
        run.wait_for("subscribed")
        with Load(simulator.url) as load:
            for restarts in (1, 2):
                load.goes_on(40)
                simulator.kill()
                run.wait_for("not subscribed")
                simulator.start()
                until(partial(_subscribed, run, restarts + 1), within=90, what="subscribing")
            load.goes_on(40)
        performed = history(simulator.url)
        until(lambda: delivered(pipeline) >= len(performed), within=90, what="the delivery of all")
        run.terminate()
        assert run.ended() == 0
    held = Counter(held_in(tmp_path / "it" / "archive"))
    with capsys.disabled():
        print(f"\n{load.performed} scans answered, {len(performed)} performed, {len(held)} held over two restarts")
    assert held == Counter(performed)
    assert len(performed) >= load.performed >= 120


def _subscribed(run: Run, times: int) -> bool:
    return len(run.said("subscribed")) >= times


def history(url: str) -> list[bytes]:
    with httpx.Client(base_url=url, timeout=60) as client:
        listed = client.get("/scans", params={"limit": 100_000}).json()["scans"]
        return [client.get(f"/scans/{scan['scan_id']}").content for scan in listed]


class Load:
    """Scans asked for one after another in a thread, whether or not the scanner is there; `performed` were answered."""

    def __init__(self, url: str) -> None:
        self.performed = 0
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="load", daemon=True)

    def goes_on(self, count: int) -> None:
        """Return once so many more were answered."""
        goal = self.performed + count
        until(lambda: self.performed >= goal, within=60, what="the load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        body = msgspec.json.encode({"signal_type": "sweep", "duration": 1.0})
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stopped.wait(0.01):
                with suppress(httpx.HTTPError):
                    client.post("/scan", content=body).raise_for_status()
                    self.performed += 1
