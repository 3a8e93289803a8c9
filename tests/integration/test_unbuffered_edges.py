"""`buffer: none` where a message could be acknowledged though nobody has it, or never be answered."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.eventually import eventually
from support.scripted_scribe import ScriptedScribe
from support.spool import SpoolSource
from support.unbuffered import FILE, LETTERS, GateSink, Spooled, kept, letters, reset

from scribe_export.errors import JournalFull, PartialFailure, Transient
from scribe_export.exporter import Exporter
from scribe_export.journal.collect import prune
from scribe_export.model import Incoming, ScanRequest
from scribe_export.unbuffered import concluding

ASKED = {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}


@pytest.fixture(autouse=True)
def _closed() -> None:
    reset()


def asking(folder: Path, api: ScriptedScribe, destinations: dict[str, Any], **more: Any) -> Spooled:
    """A pipeline whose messages are requests."""
    scanner = {"type": "scribe_api", "url": api.url, "on_unknown": "retry"}
    source = {"delivers": "requests", **more.pop("source", {})}
    letter_box = {"dead": LETTERS, **destinations}
    return Spooled(folder, letter_box, dead_letter="dead", scanner=scanner, source=source, **more)


def ask(spooled: Spooled, name: str, **config: Any) -> None:
    spooled.put(name, json.dumps({"request_id": name, "config": {**ASKED, **config}}).encode())


def test_a_repeat_is_not_acknowledged_while_its_letter_waits(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fussy": {"type": "fussy"}, "dead": {"type": "gate"}}, dead_letter="dead")

    async def body(exporter: Exporter) -> None:
        incoming = [Incoming(b'{"scan_id": "a"}', "message m1", id="m1")]
        for _ in range(3):
            assert not (await exporter.confirm("in", incoming, within=0.3))[0].kept
        assert GateSink.taken == []
        GateSink.gate.set()
        assert (await exporter.confirm("in", incoming, within=10))[0].kept

    spooled.run(body, sources=False)
    assert GateSink.taken


@pytest.mark.parametrize(
    "big", [b'{"scan_id": "big", "x": "' + b"y" * 2**21 + b'"}', b"\xff" * 600_000], ids=["too large", "no text"]
)
def test_a_letter_may_be_larger_than_a_scan(tmp_path: Path, big: bytes) -> None:
    journal = {"max_record": "1MiB"}
    spooled = Spooled(tmp_path, {"fast": FILE, "dead": LETTERS}, dead_letter="dead", journal=journal)
    spooled.put("big", big)

    async def body(_: Exporter) -> None:
        await eventually(lambda: not spooled.names())

    spooled.run(body)
    [letter] = letters(spooled)
    assert (letter["body"].encode() if "body" in letter else bytes.fromhex(letter["body_hex"])) == big


def test_a_letter_is_not_taken_for_the_body_that_it_is_about(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "dead": {"type": "gate"}}, dead_letter="dead")
    spooled.put("one", b"no scan")
    spooled.put("two", b"no scan")

    async def body(exporter: Exporter) -> None:
        await eventually(lambda: exporter.lanes["dead"]._in_flight)
        for _ in range(3):
            assert not (await exporter.confirm("in", [Incoming(b"no scan", "three")], within=0.1))[0].kept
        assert spooled.names() == {"one", "two"}
        GateSink.gate.set()
        await eventually(lambda: not spooled.names())

    spooled.run(body)


def test_a_second_of_an_id_is_not_acknowledged_for_a_first_that_was_refused(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"first": {"type": "gate", "on_conflict": "keep"}}, own_queue=True)
    GateSink.gate.set()
    GateSink.refusing = {"x"}

    async def body(exporter: Exporter) -> None:
        both = [Incoming(b'{"scan_id": "x", "v": 1}', "a"), Incoming(b'{"scan_id": "x", "v": 2}', "b")]
        assert not any(fate.kept for fate in await exporter.confirm("in", both, within=5))

    spooled.run(body, sources=False)
    assert GateSink.taken == []


def test_the_letter_of_a_request_holds_the_scan_that_came_of_it(tmp_path: Path) -> None:
    with ScriptedScribe() as api:
        spooled = asking(tmp_path, api, {"fussy": {"type": "fussy"}})
        ask(spooled, "r1")

        async def body(_: Exporter) -> None:
            await eventually(lambda: not spooled.names())

        spooled.run(body)
    [letter] = letters(spooled)
    assert json.loads(letter["body"])["scan_id"]
    assert [one["destination"] for one in letter["dead_letters"]] == ["fussy"]


def test_what_a_scanner_answers_that_is_no_scan_is_kept_beside_its_request(tmp_path: Path) -> None:
    with ScriptedScribe() as api:
        spooled = asking(tmp_path, api, {"fast": FILE})
        numbers = count()

        async def scan(request: ScanRequest) -> bytes:
            return b"measured %d, in no JSON" % next(numbers)

        async def body(exporter: Exporter) -> None:
            assert exporter.requests is not None
            exporter.requests._scanner.scan = scan  # type: ignore[method-assign]  # the contract's scanners answer scans
            for n in range(3):
                ask(spooled, f"r{n}")
            await eventually(lambda: not spooled.names())
            assert exporter._watcher is not None
            assert not exporter._watcher._dead

        spooled.run(body)
    bodies = {letter["body"] for letter in letters(spooled)}
    assert {f"measured {n}, in no JSON" for n in range(3)} <= bodies
    assert {json.loads(one)["request_id"] for one in bodies if one.startswith("{")} == {"r0", "r1", "r2"}


def test_a_request_whose_scan_waits_is_not_performed_again_however_long_it_takes(tmp_path: Path) -> None:
    with ScriptedScribe() as api:
        spooled = asking(tmp_path, api, {"slow": {"type": "gate"}})
        ask(spooled, "r1")

        async def body(exporter: Exporter) -> None:
            await eventually(lambda: exporter.lanes["slow"]._in_flight)
            assert exporter._watcher is not None
            await anyio.sleep(0.05)
            await exporter.store.do(lambda db: prune(db, 0.01))
            exporter._watcher.ring()
            await anyio.sleep(0.3)
            GateSink.gate.set()
            await eventually(lambda: not spooled.names())

        spooled.run(body)
        assert len(api.paths("/scan")) == 1


def test_a_reply_that_was_sent_beside_one_that_fails_lets_its_request_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reply(_: SpoolSource, replies: list[bytes]) -> None:
        ids = [json.loads(one)["request_id"] for one in replies]
        failed = {place: Transient("down", applied="no") for place, one in enumerate(ids) if one == "r2"}
        if failed:
            raise PartialFailure({place for place in range(len(ids)) if place not in failed}, failed)

    monkeypatch.setattr(SpoolSource, "reply", reply)
    with ScriptedScribe() as api:
        spooled = asking(tmp_path, api, {"fast": FILE}, source={"reply": "replies"})
        for name in ("r1", "r2"):
            ask(spooled, name, frequency="high")

        async def body(_: Exporter) -> None:
            await eventually(lambda: spooled.names() == {"r2"})

        spooled.run(body)


def test_who_stops_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"down": {"type": "down"}}, own_queue=True)

    async def body(exporter: Exporter) -> None:
        for _ in range(20):
            await exporter.confirm("in", [Incoming(b'{"scan_id": "a"}', "a")], within=0.01)
        assert exporter._watcher is not None
        assert not exporter._watcher._watches

    spooled.run(body, sources=False)


def test_a_full_journal_while_it_is_judged_only_delays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE}, own_queue=True)

    async def body(exporter: Exporter) -> None:
        do, failed = exporter.store.do, list[bool]()

        async def full(command: Any) -> Any:
            if "_judge" in repr(command) and not failed:
                failed.append(True)
                raise JournalFull("full")
            return await do(command)

        monkeypatch.setattr(exporter.store, "do", full)
        spooled.put("a")
        await eventually(lambda: not spooled.names())
        assert failed

    spooled.run(body)
    assert kept(spooled) == {"a"}


def test_a_stop_does_not_wait_for_a_letter_that_finds_no_room(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "dead": LETTERS}, dead_letter="dead")

    async def body(exporter: Exporter) -> None:
        assert exporter.concluder is not None
        post = exporter.concluder._post
        assert post is not None
        tried = anyio.Event()

        async def full(bodies: Any) -> Any:
            exporter.store.database.quota = 0
            tried.set()
            return await post(bodies)

        exporter.concluder._post = full
        spooled.put("bad", b"no scan")
        await tried.wait()

    spooled.run(body)
    assert spooled.names() == {"bad"}


def test_what_letters_refuse_too_is_refused_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concluding, "PAUSE", 0.5)
    destinations = {"fussy": {"type": "fussy"}, "dead": {"type": "fussy"}}
    spooled = Spooled(tmp_path, destinations, dead_letter="dead")
    spooled.put("a")

    async def body(_: Exporter) -> None:
        with anyio.move_on_after(0.4):
            await eventually(lambda: spooled.names(".refused"))
        assert spooled.names() == {"a"}
        await eventually(lambda: spooled.names(".refused") == {"a"})

    spooled.run(body)


def test_an_exporter_without_a_journal_needs_its_lanes(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE}, own_queue=True)
    with pytest.raises(ValueError, match="without lanes"):
        Exporter(spooled.pipeline.load(), lanes=False)
