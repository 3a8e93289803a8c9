"""`buffer: none`: a message is acknowledged once all its destinations have confirmed it, and not before."""

import json
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest
from support.eventually import eventually
from support.pipeline import Pipeline
from support.scripted_scribe import ScriptedScribe
from support.unbuffered import FILE, LETTERS, GateSink, Spooled, kept, letters, reset

from scribe_export.errors import Undelivered
from scribe_export.exporter import Exporter
from scribe_export.model import Incoming


@pytest.fixture(autouse=True)
def _closed() -> None:
    reset()


def test_a_message_waits_for_the_slowest_destination_and_leaves_no_state(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "slow": {"type": "gate"}}, own_queue=True)
    for name in "abc":
        spooled.put(name)

    async def body(exporter: Exporter) -> None:
        await eventually(lambda: kept(spooled) == {"a", "b", "c"} and exporter.lanes["fast"].idle)
        assert exporter._watcher
        await exporter._watcher._look()
        await anyio.wait_all_tasks_blocked()
        assert spooled.names() == {"a", "b", "c"}
        GateSink.gate.set()
        await eventually(lambda: not spooled.names())

    spooled.run(body)
    assert sorted(GateSink.taken) == ["a", "b", "c"]
    assert not spooled.pipeline.state.exists()


def test_what_is_undecided_at_the_end_is_given_back(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "down": {"type": "down"}}, own_queue=True)
    spooled.put("a")

    async def body(_: Exporter) -> None:
        await eventually(lambda: kept(spooled) == {"a"})

    spooled.run(body)
    assert spooled.names() == {"a"}


def test_what_is_in_flight_at_the_end_is_awaited_and_acknowledged(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "slow": {"type": "gate"}}, own_queue=True)
    spooled.put("a")

    async def body(exporter: Exporter) -> None:
        await eventually(lambda: kept(spooled) == {"a"})
        await eventually(lambda: exporter.lanes["slow"]._in_flight)
        exporter.stop()
        await anyio.sleep(0.05)
        GateSink.gate.set()

    spooled.run(body)
    assert (GateSink.taken, spooled.names()) == (["a"], set())


def test_what_no_destination_takes_is_a_document_at_the_one_for_dead_letters(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}, "fast": FILE, "dead": LETTERS}, dead_letter="dead")
    GateSink.gate.set()
    GateSink.refusing = {"bad"}
    spooled.put("good")
    spooled.put("bad", b'{"scan_id": "bad",\n "x": 1}')
    spooled.put("none", b"no scan \xff")

    async def body(_: Exporter) -> None:
        await eventually(lambda: not spooled.names())

    spooled.run(body)
    assert (GateSink.taken, kept(spooled)) == (["good"], {"good", "bad"})
    found = {letter["origin"]: letter for letter in letters(spooled)}
    assert found.keys() == {"bad.json", "none.json"}
    bad, none = found["bad.json"], found["none.json"]
    assert bad["body"] == '{"scan_id": "bad",\n "x": 1}'
    assert bad["dead_letters"] == [{"destination": "picky", "class": "unwanted", "error": "not bad"}]
    assert bad["source"] == "in"
    assert bytes.fromhex(none["body_hex"]) == b"no scan \xff"
    assert [letter["class"] for letter in none["dead_letters"]] == ["invalid"]


def test_without_one_it_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}}, own_queue=True)
    GateSink.gate.set()
    GateSink.refusing = {"bad"}
    for name in ("a", "bad", "b"):
        spooled.put(name)

    async def body(_: Exporter) -> None:
        await eventually(lambda: not spooled.names())

    spooled.run(body)
    assert spooled.names(".refused") == {"bad"}
    assert sorted(GateSink.taken) == ["a", "b"]


def test_a_refused_one_that_comes_again_is_tried_again(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}}, own_queue=True)
    GateSink.gate.set()
    GateSink.refusing = {"bad"}
    spooled.put("bad")

    async def body(_: Exporter) -> None:
        await eventually(lambda: spooled.names(".refused") == {"bad"})
        GateSink.refusing = set()
        spooled.put("bad")
        await eventually(lambda: not spooled.names())

    spooled.run(body)
    assert GateSink.taken == ["bad"]


def test_a_repeat_of_what_is_on_its_way_is_not_sent_twice(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"slow": {"type": "gate"}}, own_queue=True)

    async def body(exporter: Exporter) -> None:
        incoming = [Incoming(b'{"scan_id": "a"}', "one"), Incoming(b'{"scan_id": "a"}', "again")]
        first = await exporter.confirm("in", incoming, within=0.2)
        assert not any(fate.kept or fate.dead for fate in first)
        GateSink.gate.set()
        assert all(fate.kept for fate in await exporter.confirm("in", incoming, within=10))

    spooled.run(body, sources=False)
    assert GateSink.taken == ["a"]


def test_confirm_says_of_each_what_became_of_it(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}}, own_queue=True)
    GateSink.gate.set()
    GateSink.refusing = {"bad"}

    async def body(exporter: Exporter) -> None:
        bodies = (b'{"scan_id": "a"}', b'{"scan_id": "bad"}', b"[]")
        good, bad, none = await exporter.confirm("in", [Incoming(one) for one in bodies], within=10)
        assert good.kept
        assert (bad.kept, bad.dead, bad.reason) == (False, True, "picky: unwanted: not bad")
        assert (none.kept, none.dead) == (False, True)
        assert none.reason.startswith("no destination: invalid:")

    spooled.run(body, sources=False)


def test_a_scan_from_python_is_delivered_when_the_call_returns(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}, "fast": FILE}, own_queue=True)
    GateSink.gate.set()
    GateSink.refusing = {"bad"}

    async def body(exporter: Exporter) -> None:
        accepted = await exporter.deliver({"scan_id": "a"})
        assert accepted.destinations == ("picky", "fast")
        assert (GateSink.taken, kept(spooled)) == (["a"], {"a"})
        with pytest.raises(Undelivered, match="picky: unwanted: not bad"):
            await exporter.deliver({"scan_id": "bad"})

    spooled.run(body)


def test_a_scan_from_python_that_became_a_dead_letter_is_not_delivered(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"picky": {"type": "gate"}, "dead": LETTERS}, dead_letter="dead")
    GateSink.gate.set()
    GateSink.refusing = {"bad"}

    async def body(exporter: Exporter) -> None:
        with pytest.raises(Undelivered, match="not bad; dead keeps it"):
            await exporter.deliver({"scan_id": "bad"})

    spooled.run(body)
    assert [json.loads(letter["body"])["scan_id"] for letter in letters(spooled)] == ["bad"]


def test_a_run_until_idle_says_that_something_is_dead(tmp_path: Path) -> None:
    main = [sys.executable, "-m", "support.mutant_main", "none"]
    spooled = Spooled(tmp_path, {"fast": FILE, "dead": LETTERS}, dead_letter="dead", main=main)
    spooled.put("a")
    assert spooled.pipeline.until_idle().returncode == 0
    spooled.put("bad", b"no scan")
    assert spooled.pipeline.until_idle().returncode == 1
    assert (spooled.names(), len(letters(spooled))) == (set(), 1)


def test_a_journal_that_is_there_is_left_alone_and_said_so(tmp_path: Path) -> None:
    made = Pipeline(tmp_path / "it", {"fast": FILE})
    scan = tmp_path / "scan.json"
    scan.write_text('{"scan_id": 1}')
    assert made.call("send", str(scan)).returncode == 0
    made.write({"fast": FILE}, buffer="none")
    assert "journal left alone" in made.until_idle().stderr


def test_a_request_is_acknowledged_when_it_was_performed_delivered_and_answered(tmp_path: Path) -> None:
    with ScriptedScribe() as api:
        scanner = {"type": "scribe_api", "url": api.url, "on_unknown": "retry"}
        spooled = Spooled(
            tmp_path,
            {"slow": {"type": "gate"}, "dead": LETTERS},
            dead_letter="dead",
            scanner=scanner,
            source={"delivers": "requests", "reply": "replies"},
        )
        closed = spooled.pipeline.folder / "replies" / "closed"
        closed.parent.mkdir()
        asked = {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}
        spooled.put("r1", json.dumps({"request_id": "r1", "config": asked}).encode())
        spooled.put("r2", b'{"request_id": "r2", "config": {"frequency": "high"}}')

        def replies() -> Counter[str]:
            return Counter(path.name.partition(".")[0] for path in closed.parent.glob("*.json"))

        async def body(_: Exporter) -> None:
            await eventually(lambda: replies() == {"r1": 1, "r2": 1} and spooled.names() == {"r1"})
            [letter] = letters(spooled)
            assert json.loads(letter["body"])["request_id"] == "r2"
            closed.touch()
            spooled.put("r3", json.dumps({"request_id": "r3", "config": asked}).encode())
            GateSink.gate.set()
            await eventually(lambda: len(GateSink.taken) == 2)
            await eventually(lambda: spooled.names() == {"r3"})
            closed.unlink()
            await eventually(lambda: not spooled.names())

        spooled.run(body)
        assert len(api.paths("/scan")) == 2
        assert replies() == {"r1": 1, "r2": 1, "r3": 1}


@pytest.mark.parametrize("command", ["send", "status", "trace", "dlq list", "dlq replay"])
def test_commands_that_need_a_journal_say_that_there_is_none(tmp_path: Path, command: str) -> None:
    made = Pipeline(tmp_path / "it", {"fast": FILE}, buffer="none")
    scan = tmp_path / "scan.json"
    scan.write_text('{"scan_id": 1}')
    more = {"send": [str(scan)], "trace": ["1"]}.get(command, [])
    ended = made.call(command, *more)
    assert ended.returncode in {1, 4}
    assert "buffer: none" in ended.stderr
    assert "Traceback" not in ended.stderr
