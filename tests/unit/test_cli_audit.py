"""`audit verify` and `audit export`: what they tell of a journal, and what they notice."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.command_line import write_config
from support.journals import destinations, journalled, new_scan, opened, sealed

from scribe_export.cli.main import main
from scribe_export.journal.dead import Sealing, dead_letters, discard, exceptions, replay_exceptions
from scribe_export.journal.settle import delivered, refuse

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "audit.md"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Scans 1 to 3 delivered to `archive` one by one and to `lake` as a range; 4 refused, replayed and delivered;
    5 refused and discarded."""
    with opened(tmp_path / "state" / "default") as db:
        destinations(db, "archive", "lake")
        journalled(db, *(new_scan(number, mask=3) for number in (1, 2, 3)))
        for number in (1, 2, 3):
            (batch,) = sealed(db, 0, number - 1, limit=1)
            with db.transaction():
                delivered(db, batch, f"answer {number}\x1b[2J")
        (batch,) = sealed(db, 1, by_record=False)
        with db.transaction():
            delivered(db, batch, "etag")
        journalled(db, new_scan(4), new_scan(5))
        (batch,) = sealed(db, 0, 3)
        with db.transaction():
            assert refuse(db, batch, {4: ("rejected", "no"), 5: ("rejected", "no")}) == []
            (again,) = replay_exceptions(db, 0, exceptions(db, 0, {4}), Sealing({}, by_record=True, partitions={4: ""}))
            delivered(db, again, "at last")
            discard(db, list(dead_letters(db)))
    return write_config(tmp_path)


def audit(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", words[0], str(config), *words[1:]])


def checked_by_a_third_party(tmp_path: Path, export: str) -> "subprocess.CompletedProcess[str]":
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "check.py").write_text(program)
    (tmp_path / "export.jsonl").write_text(export)
    return subprocess.run([sys.executable, "check.py", "export.jsonl"], cwd=tmp_path, capture_output=True, text=True)


def tamper(config: Path, sql: str) -> None:
    connection = sqlite3.connect(config.parent / "state" / "default" / "journal.db")
    connection.executescript(sql)
    connection.close()


def test_a_sound_chain_is_told_with_its_head(config: Path) -> None:
    told = audit(config, "verify")
    assert told.exit_code == 0
    assert re.search(r"^7 receipts, from 20.*Z to 20.*Z\nhead 7:[0-9a-f]{64}\nevery receipt follows", told.stdout)
    answer = json.loads(audit(config, "verify", "--json").stdout)
    assert (answer["sound"], answer["receipts"], answer["forgotten"], answer["broken"]) == (True, 7, 0, [])
    assert audit(config, "verify", "--head", answer["head"]).exit_code == 0
    assert audit(config, "verify", "--head", "7:00").exit_code == 2


def test_a_flipped_byte_in_the_file_is_named_with_its_receipt(config: Path) -> None:
    journal = config.parent / "state" / "default" / "journal.db"
    raw = journal.read_bytes()
    assert raw.count(b"answer 2") == 1
    journal.write_bytes(raw.replace(b"answer 2", b"answes 2"))
    told = audit(config, "verify")
    assert told.exit_code == 1
    assert re.search(
        r"receipt 2 \(delivered archive 20.*Z\): it was changed, or does not follow receipt 1\n", told.stdout
    )
    assert "receipt 3" not in told.stdout


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DELETE FROM receipt WHERE id=3", r"receipt 4 .*: receipt 3 before it is missing"),
        ("DELETE FROM receipt WHERE id>5", r"receipt 6: each of the receipts 6 to 7 at the end is missing"),
        (
            "UPDATE receipt SET id=-id WHERE id IN (2, 3); UPDATE receipt SET id=5+id WHERE id<0",
            r"receipt 2 .*\nreceipt 3 .*\nreceipt 4 ",
        ),
    ],
)
def test_receipts_removed_or_swapped_are_named(config: Path, sql: str, said: str) -> None:
    tamper(config, sql)
    told = audit(config, "verify")
    assert told.exit_code == 1
    assert re.search(said, told.stdout)
    assert "cannot be trusted" in told.stdout


def test_an_end_cut_off_with_all_its_traces_is_noticed_by_the_head(config: Path) -> None:
    head = json.loads(audit(config, "verify", "--json").stdout)["head"]
    tamper(config, "DELETE FROM receipt WHERE id>5; UPDATE sqlite_sequence SET seq=5 WHERE name='receipt'")
    assert audit(config, "verify").exit_code == 0
    told = audit(config, "verify", "--head", head)
    assert (told.exit_code, "receipt 7: the head is not there: the chain ends at receipt 5" in told.stdout) == (1, True)


def test_an_export_has_a_line_for_each_scan_and_destination_and_for_what_operators_did(config: Path) -> None:
    told = audit(config, "export").stdout
    assert "\x1b" not in told
    assert [line.split(" ")[1:4] for line in told.splitlines()] == [
        ["delivered", "archive", "1"],
        ["delivered", "archive", "2"],
        ["delivered", "archive", "3"],
        ["delivered", "lake", "1"],
        ["delivered", "lake", "2"],
        ["delivered", "lake", "3"],
        ["replayed", "archive", "4"],
        ["delivered", "archive", "4"],
        ["discarded", "archive", "5"],
    ]
    assert told.splitlines()[8].endswith(" discarded archive 5 (by an operator)")
    assert told.splitlines()[7].endswith(", answer at last)")
    lines = json.loads(audit(config, "export", "--json").stdout)
    assert [line["line"] for line in lines].count("receipt") == 7
    assert lines[2] | {"at": ""} == {
        "line": "scan", "receipt": 1, "number": 1, "scan_id": "1", "version": 1, "sha256": new_scan(1).sha256,
        "size": len(new_scan(1).body), "destination": "archive", "outcome": "delivered", "batch": lines[2]["batch"],
        "name": "", "answer": "answer 1\x1b[2J", "at": "",
    }  # fmt: skip


def test_a_third_party_can_check_an_export_with_the_program_of_the_page(config: Path, tmp_path: Path) -> None:
    whole = audit(config, "export", "--jsonl").stdout
    head = json.loads(audit(config, "verify", "--json").stdout)["head"]
    assert checked_by_a_third_party(tmp_path, whole).stdout == f"sound up to {head}\n"
    for options in (["--destination", "lake"], ["--since", "2020-01-01"], ["--until", "2020-01-01T00:00:00+02:00"]):
        some = audit(config, "export", "--jsonl", *options).stdout
        assert checked_by_a_third_party(tmp_path, some).stdout.startswith("sound up to ")
    lines = whole.splitlines(keepends=True)
    third = next(number for number, line in enumerate(lines) if '"line": "receipt", "number": 3' in line)
    for forged in (
        whole.replace("answer 2", "answer 9"),
        "".join(lines[:third] + lines[third + 2 :]),
        whole.replace('"destination": "lake", "outcome": "delivered"', '"destination": "lake", "outcome": "lost"'),
    ):
        assert forged != whole
        assert checked_by_a_third_party(tmp_path, forged).returncode == 1


def test_scans_that_history_has_forgotten_leave_their_numbers_or_nothing(config: Path) -> None:
    tamper(config, "DELETE FROM scan WHERE seq < 5")
    lines = [json.loads(line) for line in audit(config, "export", "--jsonl").stdout.splitlines()]
    scans = [(line["receipt"], line["number"], line["scan_id"]) for line in lines if line["line"] == "scan"]
    assert scans == [(5, 4, None), (6, 4, None), (7, 5, "5")]


def test_a_range_of_thousands_is_told_scan_by_scan(tmp_path: Path) -> None:
    with opened(tmp_path / "state" / "default") as db:
        destinations(db, "archive")
        journalled(db, *(new_scan(number) for number in range(1, 2001)))
        (batch,) = sealed(db, 0, limit=2000)
        with db.transaction():
            delivered(db, batch, "")
    config = write_config(tmp_path)
    assert len(audit(config, "export").stdout.splitlines()) == 2000
    assert audit(config, "export", "--since", "yesterday").exit_code == 2


def test_an_export_that_cannot_be_written_does_not_blame_the_journal(config: Path) -> None:
    program = [sys.executable, "-m", "scribe_export", "audit", "export", str(config), "--jsonl"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "Error: the export could not be written: No space left on device\n")
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_head_of_other_letters_is_told_how_to_be_written(config: Path) -> None:
    ended = audit(config, "verify", "--head", "5:" + "z" * 64)
    assert ended.exit_code == 2
    assert "a head is a receipt's number and its hash" in ended.output
