"""`init`, `check`, `schema`, `connectors`, `scan`, and every command before a wrong file."""

import json
from pathlib import Path

import pytest
from support.command_line import FILES, command, scan, write_config

WRONG = FILES.replace("directory", "direktory").replace("64MiB", "64")
TAKE_A_CONFIG = [
    ("run",),
    ("check",),
    ("send", "scan.json"),
    ("trace", "1"),
    ("scan",),
    ("dlq", "replay"),
    ("dlq", "discard"),
]


LOOKING = [("status",), ("dlq", "list"), ("dlq", "show", "1")]


def with_config(words: tuple[str, ...]) -> list[str]:
    place = 2 if words[0] == "dlq" else 1
    return [*words[:place], "export.yaml", *words[place:]]


@pytest.mark.parametrize("words", TAKE_A_CONFIG, ids=" ".join)
def test_a_wrong_file_is_told_line_by_line_by_every_command(words: tuple[str, ...], tmp_path: Path) -> None:
    write_config(tmp_path, WRONG)
    (tmp_path / "scan.json").write_text(scan(1))
    ended = command(tmp_path, *with_config(words))
    assert (ended.code, ended.stdout) == (2, "")
    told = ended.stderr.splitlines()
    assert told[0].startswith("export.yaml:1:18: journal.quota: not a size: 64")
    assert told[1].startswith(
        'export.yaml:3:25: destinations.archive.direktory: unknown option, did you mean "directory"?'
    )
    assert len(told) == 2
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_needs_neither_secrets_nor_the_rest_of_the_file(words: tuple[str, ...], tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "scan.json").write_text(scan(1))
    assert command(tmp_path, "send", "export.yaml", "scan.json").code == 0
    write_config(
        tmp_path, WRONG + '\nconnections: {c: {provider: scribe, url: "http://h", api_key: "${NOT_SET_HERE}"}}\n'
    )
    ended = command(tmp_path, *with_config(words))
    assert "NOT_SET_HERE" not in ended.stderr
    assert ended.code == (1 if words[-1] == "1" else 0)


@pytest.mark.parametrize("words", TAKE_A_CONFIG, ids=" ".join)
def test_a_missing_file_is_told_by_every_command(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = command(tmp_path, *with_config(words))
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(
        "export.yaml:1:1: cannot read the file: No such file or directory; `scribe-export init`"
    )


def test_init_writes_a_file_that_is_right_and_never_over_another(tmp_path: Path) -> None:
    ended = command(tmp_path, "init")
    assert ended.code == 0
    written = (tmp_path / "export.yaml").read_text()
    checked = command(tmp_path, "check", "export.yaml", "--json")
    assert checked.code == 0
    assert [(entry["name"], entry["kind"], entry["type"]) for entry in checked.json()["entries"]] == [
        ("archive", "destination", "file")
    ]
    again = command(tmp_path, "init")
    assert (again.code, again.stdout) == (1, "")
    assert "export.yaml is there already" in again.stderr
    assert (tmp_path / "export.yaml").read_text() == written
    assert "No such file or directory" in command(tmp_path, "init", "nowhere/export.yaml").stderr


def test_check_with_connect_says_what_cannot_be_reached(tmp_path: Path) -> None:
    write_config(tmp_path, FILES.replace("./archive", "./gone/deeper/archive"))
    assert command(tmp_path, "check", "export.yaml").code == 0
    ended = command(tmp_path, "check", "export.yaml", "--connect", "--json")
    assert ended.code == 1
    (entry,) = ended.json()["entries"]
    assert entry["reached"].startswith("no: ")


def test_the_schema_is_one_that_takes_the_starter(tmp_path: Path) -> None:
    schema = command(tmp_path, "schema").json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"sources", "destinations", "journal", "connections"} <= set(schema["properties"])
    references = {part.split('"')[0] for part in json.dumps(schema).split('"$ref": "#/$defs/')[1:]}
    assert references <= set(schema["$defs"])


def test_connectors_lists_all_and_tells_each_ones_options(tmp_path: Path) -> None:
    listed = command(tmp_path, "connectors", "--json").json()["connectors"]
    assert {("file", "sink"), ("file", "source"), ("scribe_api", "scanner")} <= {
        (one["name"], one["kind"]) for one in listed
    }
    assert not any(one["problem"] for one in listed)
    described = command(tmp_path, "connectors", "file", "--json").json()["connectors"]
    assert "directory" in described[0]["options"]["properties"]
    text = command(tmp_path, "connectors", "file").stdout
    assert "effect: exact, by one object a scan" in text
    assert "retry.base_delay" in text
    assert "`" not in text


def test_a_scan_without_a_scanner_says_how_to_add_one(tmp_path: Path) -> None:
    write_config(tmp_path)
    ended = command(tmp_path, "scan", "export.yaml")
    assert (ended.code, ended.stdout) == (2, "")
    assert "export.yaml has no scanner; add one, like:  scanner: {type: scribe_api," in ended.stderr


@pytest.mark.parametrize("words", [("send", "scan.json"), ("run", "--until-idle")], ids=" ".join)
def test_a_state_folder_that_cannot_be_made_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    (tmp_path / "scan.json").write_text(scan(1))
    write_config(tmp_path, "state_dir: ./taken\n" + FILES)
    ended = command(tmp_path, *with_config(words))
    assert (ended.code, ended.stdout) == (4, "")
    assert "cannot make the state folder: Not a directory" in ended.stderr


def test_check_shows_what_each_destination_promises_without_a_journal(tmp_path: Path) -> None:
    text = """\
buffer: {buffer}
dead_letter: letters
sources:
  queue: {{type: aws_sqs, queue_url: "https://sqs.eu-west-1.amazonaws.com/222222222222/scans"}}
destinations:
  each: {{type: file, directory: ./each, key: "scans/{{scan_id}}.json"}}
  newest: {{type: file, directory: ./newest, key: "scans/{{scan_id}}.json", on_conflict: overwrite}}
  batches: {{type: file, directory: ./batches, key: "scans/{{batch_id}}.{{ext}}"}}
  letters: {{type: file, directory: ./letters, key: "dead/{{scan_id}}.json"}}
"""

    def effects(buffer: str) -> dict[str, str]:
        path = write_config(tmp_path, text.format(buffer=buffer))
        entries = command(tmp_path, "check", path.name, "--json").json()["entries"]
        return {entry["name"]: entry["effect"].partition(",")[0] for entry in entries if entry["kind"] == "destination"}

    assert effects("journal") == dict.fromkeys(("each", "newest", "letters"), "exact") | {"batches": "exact per batch"}
    assert effects("none") == {
        "each": "exact",
        "newest": "at least once",
        "batches": "at least once",
        "letters": "exact",
    }
