"""`health`, against servers that come and go."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import PROGRAM, command, write_config
from support.scripted_scribe import Answer, ScriptedScribe, no_script

CONFIG = """
sources:
  api: {{type: scribe_api, url: "{url}"}}
destinations:
  files: {{type: file, directory: ./archive, key: "scans/{{scan_id}}.json"}}
"""


@pytest.fixture
def api() -> Iterator[ScriptedScribe]:
    with ScriptedScribe() as server:
        yield server


def test_what_is_not_well_is_named_with_its_reason_and_exit_code_1(tmp_path: Path, api: ScriptedScribe) -> None:
    write_config(tmp_path, CONFIG.format(url=api.url))
    ended = command(tmp_path, "health", "export.yaml")
    assert (ended.code, ended.stderr) == (0, "")
    api.script = lambda *_: Answer(503)
    ended = command(tmp_path, "health", "export.yaml", "--json")
    assert ended.code == 1
    api_entry, files_entry = json.loads(ended.stdout)["entries"]
    assert (api_entry["name"], api_entry["healthy"]) == ("sources.api", False)
    assert "503" in api_entry["reason"]
    assert files_entry == {"name": "destinations.files", "healthy": True, "reason": ""}


def test_a_service_that_asks_for_less_is_well(tmp_path: Path, api: ScriptedScribe) -> None:
    write_config(tmp_path, CONFIG.format(url=api.url))
    api.script = lambda *_: Answer(429)
    assert command(tmp_path, "health", "export.yaml").code == 0


def test_watching_tells_each_change_once(tmp_path: Path, api: ScriptedScribe) -> None:
    write_config(tmp_path, CONFIG.format(url=api.url))
    asked = [str(PROGRAM), "health", "export.yaml", "--watch", "--interval", "50ms"]
    with subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, text=True, bufsize=1) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "2 of 2 are well; changes follow\n"
        api.script = lambda *_: Answer(503)
        assert watching.stdout.readline().startswith("sources.api is not well: ")
        api.script = no_script
        assert watching.stdout.readline() == "sources.api is well again\n"
        watching.terminate()
