"""Names to connectors."""

import threading
from collections.abc import Sequence
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.fake_connectors import FakeFeed, FakeScanner, FakeStore

from scribe_export import registry
from scribe_export.errors import ConnectorUnavailable, Rejected
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Encoded, Record
from scribe_export.options import SinkOptions
from scribe_export.registry import KINDS, connectors, find, register_sink, register_source


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {kind: dict(registry._registered[kind]) for kind in KINDS})


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str, distribution: str) -> None:
    class Distribution:
        pass

    origin: Any = Distribution()
    origin.name = distribution
    point = EntryPoint(name, value, "scribe_export.sinks")
    object.__setattr__(point, "dist", origin)
    monkeypatch.setattr(registry, "_installed", lambda kind: {name: point} if kind == "sinks" else {})


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)


def test_a_registered_class_is_found_under_its_kind() -> None:
    assert find("sinks", "fake_store") is FakeStore
    assert find("sources", "fake_feed") is FakeFeed
    assert find("scanners", "fake_scanner") is FakeScanner


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ConnectorUnavailable, match='unknown type "fake_stor", did you mean "fake_store"'):
        find("sinks", "fake_stor")


def test_a_name_of_another_kind_says_so() -> None:
    with pytest.raises(ConnectorUnavailable, match='"fake_feed" is a source, not a sink'):
        find("sinks", "fake_feed")


def test_an_entry_point_is_loaded_when_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(tmp_path, monkeypatch, "a_plugin", "from support.fake_connectors import FakeStore as Found")
    install(monkeypatch, "mine", "a_plugin:Found", "a-plugin")
    assert find("sinks", "mine") is FakeStore


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("aws_thing", r"run: pip install 'scribe-export\[aws\]'"),
        ("gcp_thing", r"run: pip install 'scribe-export\[gcp\]'"),
        ("redis", r"run: pip install 'scribe-export\[redis\]'"),
        ("rabbitmq", r"run: pip install 'scribe-export\[rabbitmq\]'"),
        ("file", "run: pip install 'scribe-export'"),
    ],
)
def test_a_missing_sdk_gives_the_command(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(tmp_path, monkeypatch, f"needs_{name}", "import absent_sdk.client")
    install(monkeypatch, name, f"needs_{name}:Found", "scribe-export")
    with pytest.raises(ConnectorUnavailable, match=f"{name} needs absent_sdk, which is not installed; {command}"):
        find("sinks", name)
    [listed] = [entry for entry in connectors() if entry.name == name]
    assert "absent_sdk" in listed.problem
    assert listed.connector is None


def test_a_missing_sdk_of_a_third_party_names_its_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(tmp_path, monkeypatch, "third_party", "import absent_sdk")
    install(monkeypatch, "aws_other", "third_party:Found", "their-package")
    with pytest.raises(ConnectorUnavailable, match=r"needs the package absent_sdk.*how their-package is installed"):
        find("sinks", "aws_other")


@pytest.mark.parametrize(
    "text", ["", "Found = 5", "class Found: pass", "from json import nothing_like_it", "raise ModuleNotFoundError"]
)
def test_a_broken_plugin_is_no_traceback(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"broken_{abs(hash(text))}"
    module(tmp_path, monkeypatch, name, text)
    install(monkeypatch, "mine", f"{name}:Found", "a-plugin")
    with pytest.raises(ConnectorUnavailable, match=r"mine cannot be loaded from a-plugin: .*install it anew"):
        find("sinks", "mine")


def test_a_module_that_is_gone_is_a_broken_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "mine", "scribe_connectors.never_there:Found", "scribe-export")
    with pytest.raises(ConnectorUnavailable, match="install it anew"):
        find("sinks", "mine")


def test_a_name_is_registered_once_and_only_with_what_it_must_be() -> None:
    wrong: Any = FakeStore
    with pytest.raises(ValueError, match='there is a sink named "fake_store" already'):
        register_sink("fake_store", FakeStore)
    with pytest.raises(TypeError, match=r"not a subclass of scribe_export\.interface\.Source"):
        register_source("mine", wrong)
    nothing: Any = 5
    with pytest.raises(TypeError, match="neither a Sink class nor a function"):
        register_sink("mine", nothing)


def test_the_list_has_every_kind() -> None:
    listed = {(entry.kind, entry.name): entry for entry in connectors()}
    assert listed["sinks", "fake_store"].connector is FakeStore
    assert listed["sources", "fake_feed"].origin == "this process"


def write(name: str, ids: Sequence[str]) -> None:
    cls = find("sinks", name)
    sink = cls(SinkOptions(), Context(name))
    assert isinstance(sink, Sink)
    records = tuple(Record(seq=n, scan_id=scan_id, sha256="", body=b"{}") for n, scan_id in enumerate(ids))
    encoded = sink.encode(Batch(id="1", name="", records=records, digest=""))
    assert isinstance(encoded, Encoded)
    anyio.run(sink.write, encoded)


def test_an_async_function_is_enough_for_a_sink() -> None:
    seen: list[str] = []

    async def announce(records: Sequence[Record]) -> None:
        """Tell somebody."""
        await anyio.lowlevel.checkpoint()
        seen.extend(record.scan_id for record in records)

    register_sink("announce", announce, limits=BatchLimits(max_records=7))
    write("announce", ["a", "b"])
    assert seen == ["a", "b"]
    sink = find("sinks", "announce")
    assert (sink.__name__, sink.__doc__) == ("announce", "Tell somebody.")
    assert issubclass(sink, Sink)
    assert sink.limits.max_records == 7


def test_a_plain_function_runs_beside_the_event_loop() -> None:
    threads: list[int] = []

    def blocking(prefix: str, records: Sequence[Record]) -> None:
        threads.append(threading.get_ident())

    register_sink("blocking", partial(blocking, "x"))
    write("blocking", ["a"])
    assert threads != [threading.get_ident()]


def test_an_object_with_an_async_call_is_a_function_too() -> None:
    class Teller:
        heard = 0

        async def __call__(self, records: Sequence[Record]) -> None:
            self.heard += len(records)

    teller = Teller()
    register_sink("teller", teller)
    write("teller", ["a", "b"])
    assert teller.heard == 2


def test_what_a_function_raises_reaches_the_lane() -> None:
    async def refuse(records: Sequence[Record]) -> None:
        raise Rejected("no")

    register_sink("refuse", refuse)
    with pytest.raises(Rejected):
        write("refuse", ["a"])
