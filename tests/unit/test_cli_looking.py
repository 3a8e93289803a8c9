"""`status`, `trace` and `dlq`: before there is anything, beside a running exporter, and after it."""

import base64
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.command_line import PROGRAM, Ended, command, scan, wait_until, write_config
from support.mounts import make_read_only, tmpfs

from scribe_export.journal.schema import SCHEMA_VERSION

LOOKING = [("status",), ("trace", "1"), ("dlq", "list"), ("dlq", "show", "1")]
CHANGING = [("dlq", "replay"), ("dlq", "discard", "--yes")]


def look(folder: Path, words: tuple[str, ...], *options: str) -> Ended:
    """The words of a command with the config where it belongs."""
    place = 2 if words[0] == "dlq" else 1
    return command(folder, *words[:place], "export.yaml", *words[place:], *options)


def status(folder: Path) -> dict[str, Any]:
    """The counts of the one destination."""
    archive: dict[str, Any] = command(folder, "status", "export.yaml", "--json").json()["destinations"]["archive"]
    return archive


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """An exporter that is up, stopped by SIGTERM."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(PROGRAM), "run", "export.yaml"], cwd=folder, stderr=log, text=True)
        try:
            wait_until(lambda: '"ready"' in (folder / "log").read_text() or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (folder / "log").read_text()


@pytest.mark.parametrize("words", LOOKING + CHANGING, ids=" ".join)
def test_before_the_first_run_there_is_no_journal_and_none_is_made(words: tuple[str, ...], tmp_path: Path) -> None:
    write_config(tmp_path)
    ended = look(tmp_path, words)
    assert (ended.code, ended.stdout) == (4, "")
    assert "no journal here yet; it is made by the first run or send" in ended.stderr
    assert not (tmp_path / "state").exists()


def test_reading_commands_work_beside_a_running_exporter_and_after_it(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scans.jsonl").write_text(f"{scan(1)}\n{scan(2)}\n")
    with running(tmp_path):
        ended = command(tmp_path, "send", "export.yaml", "scans.jsonl")
        assert (ended.code, ended.stdout) == (0, "accepted 1\naccepted 2\n")
        wait_until(lambda: status(tmp_path)["delivered"] == 2)
        told = command(tmp_path, "trace", "export.yaml", "1", "--json").json()
        assert [step["state"] for step in told["versions"][0]["steps"]] == ["delivered"]
        assert command(tmp_path, "dlq", "list", "export.yaml").stdout.endswith("0 dead letters\n")
        owned = command(tmp_path, "run", "export.yaml")
        assert owned.code == 3
        assert "in use by" in owned.stderr
    after = status(tmp_path)
    assert {"pending", "delivered", "dead", "breaker", "oldest_pending_seconds"} <= set(after)
    assert (after["pending"], after["delivered"], after["dead"], after["breaker"]) == (0, 2, 0, "closed")
    assert command(tmp_path, "trace", "export.yaml", "2").code == 0


def test_a_state_folder_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scan.json").write_text(scan(1))
    assert command(tmp_path, "send", "export.yaml", "scan.json").code == 0
    with tmpfs(tmp_path / "disk", "32m") as disk:
        shutil.copytree(tmp_path / "state", disk / "state")
        shutil.rmtree(tmp_path / "state")
        (tmp_path / "state").symlink_to(disk / "state")
        make_read_only(disk)
        assert command(tmp_path, "status", "export.yaml", "--json").json()["destinations"]["archive"]["pending"] == 1
        assert "archive: waiting" in command(tmp_path, "trace", "export.yaml", "1").stdout
        refused = command(tmp_path, "send", "export.yaml", "scan.json")
        assert refused.code == 4


@pytest.mark.parametrize("words", [*LOOKING, ("run",)], ids=" ".join)
def test_a_journal_of_a_later_release_is_refused_naming_both_versions(words: tuple[str, ...], tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scan.json").write_text(scan(1))
    assert command(tmp_path, "send", "export.yaml", "scan.json").code == 0
    (journal,) = (tmp_path / "state").rglob("journal.db")
    connection = sqlite3.connect(journal)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    ended = look(tmp_path, words)
    assert (ended.code, ended.stdout) == (4, "")
    assert f"written in format 7, this release reads up to {SCHEMA_VERSION}" in ended.stderr


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_a_journal_that_is_no_database_is_said_to_be_unreadable(words: tuple[str, ...], tmp_path: Path) -> None:
    write_config(tmp_path)
    folder = tmp_path / "state" / "default"
    folder.mkdir(parents=True)
    (folder / "journal.db").write_bytes(b"nothing of SQLite's" * 1000)
    ended = look(tmp_path, words)
    assert (ended.code, ended.stdout) == (4, "")
    assert "the journal cannot be read: file is not a database" in ended.stderr


@pytest.fixture
def conflict(tmp_path: Path) -> Path:
    """A folder where scan 1 came again with other content, and the second is a dead letter."""
    write_config(tmp_path)
    (tmp_path / "scans.jsonl").write_text(f"{scan(1)}\n{scan(1, more=True)}\n")
    assert command(tmp_path, "send", "export.yaml", "scans.jsonl").stdout == "accepted 1\naccepted 1 (conflict)\n"
    ended = command(tmp_path, "run", "export.yaml", "--until-idle", "--json")
    assert (ended.code, ended.json()["destinations"]) == (1, {"archive": {"delivered": 1, "pending": 0, "dead": 1}})
    return tmp_path


def test_a_dead_letter_is_listed_shown_and_replayed(conflict: Path) -> None:
    (letter,) = command(conflict, "dlq", "list", "export.yaml", "--json").json()["dead_letters"]
    assert (letter["scan_id"], letter["destination"], letter["kind"]) == ("1", "archive", "conflict")
    assert scan(1, more=True) in command(conflict, "dlq", "show", "export.yaml", "1").stdout
    assert command(conflict, "dlq", "show", "export.yaml", "2").code == 1
    none = command(conflict, "dlq", "replay", "export.yaml", "--class", "poison")
    assert (none.code, none.stdout) == (0, "0 dead letters are on their way again\n")
    assert command(conflict, "dlq", "replay", "export.yaml").stdout == "1 dead letters are on their way again\n"
    assert command(conflict, "run", "export.yaml", "--until-idle").code == 0
    stored = sorted(path.read_text() for path in (conflict / "archive" / "scans").glob("1*.json"))
    assert stored == sorted([scan(1), scan(1, more=True)])


def test_a_dead_letter_is_discarded_only_after_a_yes(conflict: Path) -> None:
    asked = command(conflict, "dlq", "discard", "export.yaml", stdin="n\n")
    assert (asked.code, asked.stdout) == (1, "")
    assert "Discard 1 dead letters for good?" in asked.stderr
    assert command(conflict, "dlq", "discard", "export.yaml", "--yes", "--json").json() == {"discarded": 1}
    assert command(conflict, "run", "export.yaml", "--until-idle").code == 0
    assert "(by an operator)" in command(conflict, "trace", "export.yaml", "1").stdout


def test_a_trace_of_a_scan_that_never_came_says_so(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scan.json").write_text(scan(1))
    command(tmp_path, "send", "export.yaml", "scan.json")
    ended = command(tmp_path, "trace", "export.yaml", "99")
    assert (ended.code, ended.stdout) == (1, "")
    assert "scan 99 is not known here" in ended.stderr


def test_a_run_until_idle_whose_source_cannot_be_read_is_no_success(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        sources = f'sources:\n  api: {{type: scribe_api, url: "http://127.0.0.1:{port}"}}\n'
        write_config(tmp_path, write_config(tmp_path).read_text() + sources)
        ended = command(tmp_path, "run", "export.yaml", "--until-idle", "--max-wait", "1s", "--json")
    assert (ended.code, ended.json()["unread_sources"]) == (1, ["api"])
    assert "Connection refused" in ended.stderr


def test_the_module_runs_as_the_command_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from scribe_export.cli import main; main()", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == command(tmp_path, "--version").stdout


def test_several_bodies_under_one_id_are_shown_and_written_one_by_one(conflict: Path) -> None:
    third = scan(1, more=False)
    (conflict / "third.json").write_text(third)
    assert command(conflict, "send", "export.yaml", "third.json").code == 0
    letters = command(conflict, "dlq", "list", "export.yaml", "--json").json()["dead_letters"]
    numbers = [str(letter["seq"]) for letter in letters]
    shown = command(conflict, "dlq", "show", "export.yaml", "1").stdout
    assert third in shown
    assert scan(1, more=True) in shown
    refused = command(conflict, "dlq", "show", "export.yaml", "1", "--raw")
    assert refused.code == 1
    assert f"choose with --number: {', '.join(numbers)}" in refused.stderr
    assert command(conflict, "dlq", "show", "export.yaml", "1", "--raw", "--number", numbers[-1]).stdout == third
    exact = command(conflict, "dlq", "show", "export.yaml", "1", "--json").json()["base64"]
    assert {seq: base64.b64decode(text).decode() for seq, text in exact.items()} == {
        numbers[0]: scan(1, more=True),
        numbers[1]: third,
    }
