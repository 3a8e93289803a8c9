"""`plan` as a user runs it."""

import gzip
import json
from pathlib import Path

from support.command_line import command, scan, write_config

S3 = """\
sources:
  api: {type: scribe_api, url: "http://localhost:1", scope: east}
destinations:
  archive: {type: aws_s3, region: eu-west-1, bucket: scans, key: "all/{scan_id}.json"}
  east: {type: file, directory: ./east, key: "all/{scan_id}.json.gz", compression: gzip, when: 'source == "api"'}
"""


def test_what_would_be_sent_is_printed_and_nothing_is_made(tmp_path: Path) -> None:
    write_config(tmp_path, S3)
    (tmp_path / "one.json").write_text(scan(1))
    ended = command(tmp_path, "plan", "export.yaml", "one.json")
    assert (ended.code, ended.stderr) == (0, "")
    assert "PUT https://scans.s3.eu-west-1.amazonaws.com/all/1.json" in ended.stdout
    assert "      if-none-match: *\n" in ended.stdout
    assert 'east     not sent: the rule does not match: source is "send"' in ended.stdout
    assert "uthorization" not in ended.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.yaml", "one.json"]


def test_the_json_is_complete(tmp_path: Path) -> None:
    write_config(tmp_path, S3)
    (tmp_path / "two.jsonl.gz").write_bytes(gzip.compress(f"{scan(1)}\n\n{scan(2)}".encode()))
    ended = command(tmp_path, "plan", "--json", "--source", "api", "export.yaml", "two.jsonl.gz", "-", stdin=scan(3))
    assert (ended.code, ended.stderr) == (0, "")
    told = ended.json()
    assert [(one["origin"], one["scan_id"], one["outcome"]) for one in told["scans"]] == [
        ("two.jsonl.gz:1", "east:1", "new"),
        ("two.jsonl.gz:3", "east:2", "new"),
        ("stdin:1", "east:3", "new"),
    ]
    (batch,) = told["destinations"]["archive"]["batches"]
    assert told["scans"][0]["destinations"]["archive"] == {
        "verdict": "sent",
        "class": None,
        "why": None,
        "batch": batch["id"],
    }
    assert batch["scans"] == ["east:1", "east:2", "east:3"]
    assert batch["size"] == sum(one["size"] for one in told["scans"]) == 3 * len(scan(1))
    assert [one["target"] for one in batch["requests"]] == [
        f"https://scans.s3.eu-west-1.amazonaws.com/all/east~3A{number}.json" for number in (1, 2, 3)
    ]
    (compressed,) = told["destinations"]["east"]["batches"]
    assert {one["body_encoding"] for one in compressed["requests"]} == {"base64"}
    assert {one["body_encoding"] for one in batch["requests"]} == {"utf-8"}
    assert scan(1) in batch["requests"][0]["body"]


def test_what_would_be_dead_ends_with_1_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scans.jsonl").write_text(f"{scan(1)}\n[]\n")
    ended = command(tmp_path, "plan", "export.yaml", "scans.jsonl")
    assert (ended.code, ended.stderr) == (1, "")
    assert "scans.jsonl:2: no scan: it would be kept as a dead letter, class invalid" in ended.stdout
    assert f"create {tmp_path}/archive/scans/1.json" in ended.stdout


def test_a_file_or_a_config_that_is_wrong_ends_with_2(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "half.json.gz").write_bytes(gzip.compress(scan(1).encode())[:-12])
    for name, told in (
        ("gone.json", "Error: gone.json: No such file or directory\n"),
        ("half.json.gz", "Error: half.json.gz: the compressed data is damaged: "),
    ):
        ended = command(tmp_path, "plan", "export.yaml", name)
        assert (ended.code, ended.stdout) == (2, "")
        assert ended.stderr.startswith(told)
    ended = command(tmp_path, "plan", "export.yaml", "-", "--source", "api")
    assert (ended.code, ended.stdout) == (2, "")
    assert 'export.yaml has no source "api"' in ended.stderr
    write_config(tmp_path, "destinations: {a: {type: fle}}")
    assert command(tmp_path, "plan", "export.yaml", "-").code == 2


def test_control_characters_of_a_scan_reach_no_terminal(tmp_path: Path) -> None:
    write_config(tmp_path)
    body = json.dumps({"scan_id": "\x1b[2J", "note": "\x9b1m"}, ensure_ascii=False).replace("\x1b", "\\u001b")
    ended = command(tmp_path, "plan", "export.yaml", "-", stdin=body)
    assert ended.code == 0
    assert not {char for char in ended.stdout if not char.isprintable() and char != "\n"}


def test_the_destination_for_dead_letters_gets_no_scan(tmp_path: Path) -> None:
    text = """\
dead_letter: letters
destinations:
  files: {type: file, directory: ./files, key: "scans/{scan_id}.json"}
  letters: {type: file, directory: ./letters, key: "dead/{scan_id}.json"}
"""
    (tmp_path / "one.json").write_text(scan(1))
    ended = command(tmp_path, "plan", write_config(tmp_path, text).name, "one.json", "--json")
    assert ended.code == 0
    assert "letters" not in ended.stdout
    assert "scans/1.json" in ended.stdout
