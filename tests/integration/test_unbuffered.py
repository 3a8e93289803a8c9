"""`buffer: none`: a message is acknowledged once all its destinations have confirmed it, and not before."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from support import spool
from support.eventually import eventually
from support.pipeline import Pipeline
from support.scripted_scribe import ScriptedScribe

from scribe_export.errors import Rejected, Transient, Undelivered
from scribe_export.exporter import Exporter
from scribe_export.interface import Sink
from scribe_export.model import BatchLimits, Encoded, Incoming
from scribe_export.registry import register_sink

Body = Callable[[Exporter], Awaitable[None]]


class GateSink(Sink):
    """Takes what comes while its gate is open, but for scans named in `refusing`."""

    limits = BatchLimits(max_records=100)
    gate: ClassVar[anyio.Event]
    taken: ClassVar[list[str]]
    refusing: ClassVar[set[str]]

    async def write(self, encoded: Encoded) -> None:
        await self.gate.wait()
        ids = [record.scan_id for record in encoded.batch.records]
        for one in self.refusing.intersection(ids):
            raise Rejected(f"not {one}", kind="unwanted")
        self.taken.extend(ids)


class DownSink(Sink):
    async def write(self, encoded: Encoded) -> None:
        raise Transient("down", applied="no")


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    spool.register()
    register_sink("gate", GateSink)
    register_sink("down", DownSink)


@pytest.fixture(autouse=True)
def _closed() -> None:
    GateSink.gate, GateSink.taken, GateSink.refusing = anyio.Event(), [], set()


class Spooled:
    """A pipeline that reads a folder of messages."""

    def __init__(self, folder: Path, destinations: dict[str, Any], *, own_queue: bool = False, **settings: Any) -> None:
        self.messages = folder / "it" / "messages"
        source = {"type": "spool", "directory": "messages", "records": 10, **settings.pop("source", {})}
        if own_queue:
            source["dead_letter_queue"] = True
        self.pipeline = Pipeline(folder / "it", destinations, sources={"in": source}, buffer="none", **settings)
        self.messages.mkdir()

    def put(self, name: str, body: bytes | None = None) -> None:
        part = self.messages / f"{name}.part"
        part.write_bytes(json.dumps({"scan_id": name}).encode() if body is None else body)
        part.rename(part.with_suffix(".json"))

    def run(self, body: Body, **options: Any) -> None:
        async def run() -> None:
            with anyio.fail_after(20):
                async with Exporter(self.pipeline.load(), **options) as exporter:
                    await body(exporter)

        anyio.run(run)

    def names(self, suffix: str = ".json") -> set[str]:
        return {path.stem for path in self.messages.glob(f"*{suffix}")}


FILE = {"type": "file", "directory": "kept", "key": "scans/{scan_id}.json"}
LETTERS = {"type": "file", "directory": "letters", "key": "dead/{scan_id}.json"}


def kept(spooled: Spooled) -> set[str]:
    return {path.stem for path in (spooled.pipeline.folder / "kept" / "scans").glob("*.json")}


def letters(spooled: Spooled) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in (spooled.pipeline.folder / "letters").glob("dead/*.json")]


def test_a_message_waits_for_the_slowest_destination_and_leaves_no_state(tmp_path: Path) -> None:
    spooled = Spooled(tmp_path, {"fast": FILE, "slow": {"type": "gate"}}, own_queue=True)
    for name in "abc":
        spooled.put(name)

    async def body(_: Exporter) -> None:
        await eventually(lambda: kept(spooled) == {"a", "b", "c"})
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


def test_a_request_is_acknowledged_when_it_was_performed_delivered_and_answered(tmp_path: Path) -> None:
    with ScriptedScribe() as api:
        scanner = {"type": "scribe_api", "url": api.url, "on_unknown": "retry"}
        spooled = Spooled(
            tmp_path,
            {"slow": {"type": "gate"}},
            own_queue=True,
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
            await eventually(lambda: replies() == {"r1": 1, "r2": 1} and spooled.names(".refused") == {"r2"})
            assert spooled.names() == {"r1"}
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
