"""`send`: what it takes, and what it says of what it cannot take."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import command, scan, write_config

Make = Callable[[Path], object]

BAD: dict[str, tuple[str, Make, str]] = {
    "missing": ("gone.json", lambda path: None, "gone.json: No such file or directory"),
    "a folder": ("folder.json", Path.mkdir, "folder.json: Is a directory"),
    "empty": ("empty.json", Path.touch, "empty.json: empty"),
    "no JSON": ("note.json", lambda path: path.write_text("hello"), "note.json: not JSON: "),
    "an array": (
        "list.json",
        lambda path: path.write_text("[1]"),
        "list.json: a scan is a JSON object, this is an array",
    ),
    "no id": ("anon.json", lambda path: path.write_text("{}"), "anon.json: no scan_id"),
    "bytes": ("image.json", lambda path: path.write_bytes(b"\x89PNG\xff\x00"), "image.json: not UTF-8: "),
    "cut off": (
        "half.json.gz",
        lambda path: path.write_bytes(gzip.compress(scan(1).encode())[:-12]),
        "half.json.gz: the compressed data is damaged: ",
    ),
    "no gzip": (
        "plain.json.gz",
        lambda path: path.write_text(scan(1)),
        "plain.json.gz: the compressed data is damaged: ",
    ),
    "too large": (
        "large.json",
        lambda path: path.write_text(scan(1, filler="x" * 5000)),
        "large.json: longer than journal.max_record, 4096 bytes",
    ),
    "a huge line": (
        "lines.jsonl",
        lambda path: path.write_text("\n" + scan(1, filler="x" * 1_000_000) + "\n"),
        "lines.jsonl:2: longer than journal.max_record, 4096 bytes",
    ),
    "a broken line": ("lines.jsonl", lambda path: path.write_text("\n\n{\n"), "lines.jsonl:3: not JSON: "),
}


@pytest.mark.parametrize(("name", "make", "told"), BAD.values(), ids=BAD)
def test_what_is_no_scan_is_refused_with_its_place(name: str, make: Make, told: str, tmp_path: Path) -> None:
    write_config(tmp_path)
    make(tmp_path / name)
    ended = command(tmp_path, "send", "export.yaml", name)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: {told}")
    assert len(ended.stderr.splitlines()) == 1


def test_what_stands_before_a_bad_line_is_accepted_and_said_so(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scans.jsonl").write_text(f"{scan(1)}\r\n\n{scan('two')}\n[]\n{scan(3)}\n")
    ended = command(tmp_path, "send", "export.yaml", "scans.jsonl")
    assert (ended.code, ended.stdout) == (1, "accepted 1\naccepted two\n")
    assert ended.stderr == "Error: scans.jsonl:4: a scan is a JSON object, this is an array\n"
    again = command(tmp_path, "send", "--json", "export.yaml", "scans.jsonl")
    assert [(one["scan_id"], one["outcome"]) for one in again.json()["accepted"]] == [
        ("1", "duplicate"),
        ("two", "duplicate"),
    ]
    assert again.code == 1


def test_scans_come_from_documents_lines_compressed_files_and_stdin(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "one.json").write_text("{\n" + scan(1)[1:])
    (tmp_path / "two.jsonl.gz").write_bytes(gzip.compress(f"{scan(2)}\n{scan(3)}".encode()))
    (tmp_path / "four.ndjson").write_text(scan(4))
    ended = command(tmp_path, "send", "export.yaml", "one.json", "two.jsonl.gz", "four.ndjson", "-", stdin=scan(5))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == "accepted 1\naccepted 2\naccepted 3\naccepted 4\naccepted 5\n"


def test_a_file_without_lines_is_nothing_to_send(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "none.jsonl").touch()
    ended = command(tmp_path, "send", "--json", "export.yaml", "none.jsonl")
    assert (ended.code, ended.json()) == (0, {"accepted": []})


def test_a_scan_id_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    write_config(tmp_path)
    hostile = "\x1b[2J\nroot"
    (tmp_path / "scan.json").write_text(scan(hostile))
    ended = command(tmp_path, "send", "export.yaml", "scan.json")
    assert (ended.code, ended.stdout) == (0, "accepted \\x1b[2J\\nroot\n")
    told = command(tmp_path, "trace", "export.yaml", hostile)
    assert "\x1b" not in told.stdout
    assert told.stdout.startswith("scan \\x1b[2J\\nroot: journalled ")
