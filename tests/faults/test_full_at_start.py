"""A start that cannot go well leaves the journal as it was."""

import json
import os
from pathlib import Path

import pytest
from support.command_line import command, write_config
from support.mounts import tmpfs

STATE = "mount/state/default"


@pytest.mark.fault("F-17")
def test_a_start_on_a_full_disk_touches_nothing_and_says_so(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "mount", "64m"):
        write_config(
            tmp_path,
            "journal: {quota: 16MiB, max_record: 1MiB}\nstate_dir: ./mount/state\n"
            'destinations: {archive: {type: file, directory: ./archive, key: "s/{scan_id}.json"}}\n',
        )
        (tmp_path / "scans.jsonl").write_text("".join(f'{{"scan_id": {n}}}\n' for n in range(50)), encoding="utf-8")
        assert command(tmp_path, "send", "export.yaml", "scans.jsonl").code == 0
        with (tmp_path / "mount" / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        for words in (("run", "export.yaml", "--until-idle"), ("send", "export.yaml", "scans.jsonl")):
            refused = command(tmp_path, *words)
            assert refused.code == 4, refused
            assert "nothing in it was touched" in refused.stderr
        (tmp_path / "mount" / "filler").unlink()
        ended = command(tmp_path, "run", "export.yaml", "--until-idle", "--json")
        assert (ended.code, ended.json()["destinations"]["archive"]["delivered"]) == (0, 50)


@pytest.mark.parametrize("note", ["", "..", "journal.db", "nothing-of-ours"])
@pytest.mark.fault("F-22")
def test_a_broken_note_of_a_recovery_removes_nothing(tmp_path: Path, note: str) -> None:
    write_config(tmp_path)
    (tmp_path / "scan.json").write_text('{"scan_id": 1}', encoding="utf-8")
    assert command(tmp_path, "send", "export.yaml", "scan.json").code == 0
    (tmp_path / "state" / "default" / "journal.recovering").write_text(note, encoding="utf-8")
    ended = command(tmp_path, "run", "export.yaml", "--until-idle", "--json")
    assert (ended.code, ended.json()["destinations"]["archive"]["delivered"]) == (0, 1)


@pytest.mark.parametrize("length", [100, 16384])
@pytest.mark.fault("F-22")
def test_a_journal_without_its_first_page_loses_nothing(tmp_path: Path, length: int) -> None:
    write_config(tmp_path)
    (tmp_path / "scans.jsonl").write_text("".join(f'{{"scan_id": {n}}}\n' for n in range(200)), encoding="utf-8")
    assert command(tmp_path, "send", "export.yaml", "scans.jsonl").code == 0
    with (tmp_path / "state" / "default" / "journal.db").open("r+b") as journal:
        journal.write(os.urandom(length))
    ended = command(tmp_path, "run", "export.yaml", "--until-idle", "--json")
    assert json.loads(ended.stdout)["destinations"]["archive"]["delivered"] == 200
    assert len(list((tmp_path / "archive" / "scans").iterdir())) == 200
