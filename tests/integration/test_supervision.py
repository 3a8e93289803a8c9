"""What a service manager hears of an exporter, and what the unit that we ship asks of it."""

import configparser
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from support.journals import opened
from support.missing import missing
from support.pipeline import Pipeline, until

from scribe_export.clock import SystemClock
from scribe_export.journal.store import Store
from scribe_export.supervision import notify, stay_alive, watchdog_seconds

UNIT = Path(__file__).parents[2] / "infra" / "systemd" / "scribe-export@.service"
ARCHIVE = {"archive": {"type": "file", "directory": "archive", "key": "all/{scan_id}.json"}}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager that waits three tenths of a second for a sign of life."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


def test_a_manager_hears_ready_after_the_journal_is_open_then_signs_of_life_then_stopping(
    manager: socket.socket, tmp_path: Path
) -> None:
    with Pipeline(tmp_path / "it", ARCHIVE) as pipeline:
        run = pipeline.start()
        assert manager.recv(100) == b"READY=1"
        assert run.said("ready")
        assert [manager.recv(100) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        run.terminate()
        until(lambda: manager.recv(100) == b"STOPPING=1", what="word of the stop")
        assert run.ended() == 0


def test_a_start_that_is_refused_is_never_called_ready(manager: socket.socket, tmp_path: Path) -> None:
    with Pipeline(tmp_path / "it", {"archive": {"type": "file", "directory": "archive"}}) as pipeline:
        assert pipeline.call("run").returncode == 2
    manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.anyio
async def test_no_sign_of_life_while_the_journal_does_not_answer(manager: socket.socket, tmp_path: Path) -> None:
    manager.settimeout(0)
    with opened(tmp_path / "state") as database:
        store, answering = Store(database), threading.Event()
        store.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.do, lambda _: answering.wait(30))
            tasks.start_soon(stay_alive, store, SystemClock())
            await anyio.sleep(0.3)
            with pytest.raises(BlockingIOError):
                manager.recv(100)
            answering.set()
            with anyio.fail_after(20):
                while True:
                    try:
                        assert manager.recv(100) == b"WATCHDOG=1"
                        break
                    except BlockingIOError:
                        await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(store.stop)


@pytest.mark.anyio
async def test_a_journal_that_is_made_anew_is_alive(manager: socket.socket, tmp_path: Path) -> None:
    manager.settimeout(0)
    with opened(tmp_path / "state") as database:
        store, answering = Store(database), threading.Event()
        store.start()
        database.rebuilding = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.do, lambda _: answering.wait(30))
            tasks.start_soon(stay_alive, store, SystemClock())
            with anyio.fail_after(20):
                await anyio.wait_readable(manager)
            answering.set()
            tasks.cancel_scope.cancel()
        assert manager.recv(100) == b"WATCHDOG=1"
        await anyio.to_thread.run_sync(store.stop)


def test_without_a_manager_nothing_is_sent_and_nothing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in ("", "relative", str(tmp_path / "gone")):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_seconds() is None, "that of another process"
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_seconds() == 2.0


def test_the_unit_starts_again_but_after_a_wrong_config_or_a_state_in_use(tmp_path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as the standard library's documentation does it
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]
    assert service["WatchdogSec"] == "2min"
    assert (service["UMask"], service["StateDirectoryMode"]) == ("0077", "0700")


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        missing("no systemd-analyze on this machine")
    copy = tmp_path / "scribe-export@lab.service"
    copy.write_text(UNIT.read_text().replace("/opt/scribe-export/bin/scribe-export", sys.executable))
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
