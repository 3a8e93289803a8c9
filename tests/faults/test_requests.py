"""Scans asked for by messages: journalled before their acknowledgement, performed once, and answered."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pipeline import Pipeline, until
from support.scripted_scribe import Answer, ScriptedScribe, no_script

from scribe_export.requests.performing import UNKNOWN

MAIN = [sys.executable, "-m", "support.mutant_main", "none"]
FILES = {"files": {"type": "file", "directory": "archive", "key": "scans/{scan_id}.json"}}


@pytest.fixture
def api() -> Iterator[ScriptedScribe]:
    with ScriptedScribe() as server:
        yield server


class Asked:
    """A pipeline whose source is a folder of requests and whose replies go to another."""

    def __init__(self, folder: Path, url: str, **scanner: Any) -> None:
        asks = {"type": "spool", "directory": "asks", "delivers": "requests", "reply": "replies"}
        self.folder = folder / "it"
        self.pipeline = Pipeline(
            self.folder, FILES, sources={"asks": asks}, main=MAIN, scanner={"type": "scribe_api", "url": url, **scanner}
        )
        for name in ("asks", "replies"):
            (self.folder / name).mkdir()

    def ask(self, *names: str, **config: Any) -> None:
        for name in names:
            whole = {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5, **config}
            part = self.folder / "asks" / f"{name}.part"
            part.write_text(json.dumps({"request_id": name, "config": whole, "timestamp": 1.0}))
            part.rename(part.with_suffix(".json"))

    def replies(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for path in sorted((self.folder / "replies").glob("*.json")):
            found.setdefault(path.name.partition(".")[0], []).append(json.loads(path.read_text()))
        return found

    def archived(self) -> list[Any]:
        return [json.loads(path.read_text()) for path in (self.folder / "archive" / "scans").glob("*.json")]


def performed(api: ScriptedScribe) -> int:
    return len(api.paths("/scan"))


def test_requests_are_performed_routed_and_answered_in_the_guides_format(tmp_path: Path, api: ScriptedScribe) -> None:
    asked = Asked(tmp_path, api.url)
    with asked.pipeline as pipeline:
        asked.ask("r1", "r2", "r3")
        ended = pipeline.until_idle()
        assert ended.returncode == 0, ended.stderr[-2000:]
        replies = asked.replies()
        assert sorted(replies) == ["r1", "r2", "r3"]
        assert {name: len(found) for name, found in replies.items()} == {"r1": 1, "r2": 1, "r3": 1}
        results = [found[0]["result"] for found in replies.values()]
        assert sorted(one["scan_id"] for one in results) == sorted(one["scan_id"] for one in asked.archived())
        assert performed(api) == 3

        asked.ask("r2")  # redelivered
        assert pipeline.until_idle().returncode == 0
        assert performed(api) == 3


def test_a_request_that_can_never_be_performed_is_answered_dead_lettered_and_can_be_replayed(
    tmp_path: Path, api: ScriptedScribe
) -> None:
    asked = Asked(tmp_path, api.url)
    with asked.pipeline as pipeline:
        api.script = lambda _, path: Answer(422, b'{"detail":"too loud"}') if path == "/scan" else None
        asked.ask("loud")
        (asked.folder / "asks" / "odd.json").write_text('{"request_id": "odd", "config": {"frequency": "high"}}')
        assert pipeline.until_idle().returncode == 1
        replies = asked.replies()
        assert replies["loud"][0]["result"] is None
        assert "too loud" in replies["loud"][0]["error"]
        assert "frequency" in replies["odd"][0]["error"]
        assert dead_letters(pipeline) == [("request:asks/loud", "request"), ("request:asks/odd", "request")]
        assert performed(api) == 1

        api.script = no_script
        assert "1 " in pipeline.call("dlq replay", "--scan-id", "request:asks/loud").stdout
        assert pipeline.until_idle().returncode == 1  # the odd one is dead still
        assert dead_letters(pipeline) == [("request:asks/odd", "request")]
        assert asked.replies()["loud"][1]["result"]["scan_id"]
        assert performed(api) == 2


def test_requests_wait_for_a_scanner_that_is_down_and_for_requesters_that_cannot_be_reached(
    tmp_path: Path, api: ScriptedScribe
) -> None:
    asked = Asked(tmp_path, api.url)
    (asked.folder / "replies" / "closed").touch()
    with asked.pipeline as pipeline:
        api.script = lambda _, path: Answer(429) if path == "/scan" else None
        asked.ask("r1", "r2")
        run = pipeline.start()
        run.wait_for("scan request waits")
        until(lambda: not list((asked.folder / "asks").glob("*.json")), what="taking the requests")
        run.terminate()  # killed while one is being tried, that one would be unknown
        assert run.ended() == 0
        api.script = no_script
        run = pipeline.start()
        run.wait_for("replies held")
        until(lambda: pipeline.status()["files"].delivered == 2, what="delivering beside the closed folder")
        assert asked.replies() == {}
        run.kill()

        (asked.folder / "replies" / "closed").unlink()
        assert pipeline.until_idle().returncode == 0
        assert {name: len(found) for name, found in asked.replies().items()} == {"r1": 1, "r2": 1}
        assert len(asked.archived()) == 2


def test_replies_that_are_held_are_not_tried_anew_whenever_another_request_ends(
    tmp_path: Path, api: ScriptedScribe
) -> None:
    asked, names = Asked(tmp_path, api.url), [f"r{n}" for n in range(60)]
    (asked.folder / "replies" / "closed").touch()
    with asked.pipeline as pipeline:
        asked.ask(*names)
        run = pipeline.start()
        run.ready()
        until(lambda: pipeline.status()["files"].delivered == len(names), within=60, what="performing all")
        assert 1 <= len(run.said("replies held")) <= 15  # the delays grow from half a second
        (asked.folder / "replies" / "closed").unlink()
        until(lambda: set(asked.replies()) == set(names), within=60, what="answering all")


@pytest.mark.parametrize("on_unknown", ["error", "retry"])
def test_a_scan_that_a_crash_caught_is_performed_again_only_if_that_was_asked_for(
    tmp_path: Path, api: ScriptedScribe, on_unknown: str
) -> None:
    asked = Asked(tmp_path, api.url, on_unknown=on_unknown, max_in_flight=1)
    with asked.pipeline as pipeline:
        api.script = lambda _, path: Answer(hang=True) if path == "/scan" else None
        asked.ask("caught", "waiting")
        run = pipeline.start()
        until(lambda: performed(api) == 1, what="asking the scanner")
        run.kill()
        api.script = no_script
        ended = pipeline.until_idle()
        replies = asked.replies()
        assert replies["waiting"][0]["result"]["scan_id"]
        if on_unknown == "error":
            assert ended.returncode == 1
            assert (replies["caught"][0]["result"], replies["caught"][0]["error"]) == (None, UNKNOWN)
            assert (performed(api), len(asked.archived())) == (2, 1)
        else:
            assert ended.returncode == 0
            assert replies["caught"][0]["result"]["scan_id"]
            assert (performed(api), len(asked.archived())) == (3, 2)


def test_a_scan_whose_answer_was_lost_is_not_performed_again_unasked(tmp_path: Path, api: ScriptedScribe) -> None:
    asked = Asked(tmp_path, api.url)
    with asked.pipeline as pipeline:
        failures = iter([Answer(500)])
        api.script = lambda _, path: next(failures, None) if path == "/scan" else None
        asked.ask("lost")
        assert pipeline.until_idle().returncode == 1
        (reply,) = asked.replies()["lost"]
        assert reply["result"] is None
        assert "it may have been performed" in reply["error"]
        assert performed(api) == 1


def test_a_cached_answer_says_so_and_is_for_the_very_same_request(tmp_path: Path, api: ScriptedScribe) -> None:
    asked = Asked(tmp_path, api.url, cache={"ttl": "1h"}, max_in_flight=1)
    with asked.pipeline as pipeline:
        asked.ask("r1")
        run = pipeline.start()
        until(lambda: "r1" in asked.replies(), what="the first reply")
        asked.ask("r2")
        asked.ask("r3", amplitude=0.25)
        until(lambda: {"r2", "r3"} <= set(asked.replies()), what="the other replies")
        run.terminate()
        assert run.ended() == 0
        first, second, third = (asked.replies()[name][0] for name in ("r1", "r2", "r3"))
        assert second["result"] == first["result"]
        assert (first.get("cached"), second.get("cached"), third.get("cached")) == (None, True, None)
        assert performed(api) == 2


def dead_letters(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.query("SELECT scan_id, class FROM delivery JOIN scan USING(seq) ORDER BY scan_id")
