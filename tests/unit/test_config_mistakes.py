"""One golden file for each kind of wrong configuration: NAME.yaml and what is said about it, NAME.txt.

``REGOLD=1 pytest tests/unit/test_config_mistakes.py`` writes the answers anew; read the difference before committing it.
"""

import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support import fake_connectors  # noqa: F401 - registers them

from scribe_export import registry
from scribe_export.config import load
from scribe_export.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "config"
CANARY = "CANARY-7f3a9c"
ENVIRONMENT = {"TOKEN": CANARY, "SHORT": "q7", "EMPTY": ""}


@pytest.fixture(autouse=True)
def a_connector_without_its_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        name = "scribe-export"

    point = EntryPoint("aws_absent", "absent_sdk.s3:Sink", "scribe_export.sinks")
    object.__setattr__(point, "dist", Distribution())
    # The entry point's module stands for a connector whose import of the SDK fails.
    monkeypatch.setattr(EntryPoint, "module", property(lambda self: "scribe_connectors.absent"), raising=True)
    # Only this one, so that the answers do not change with every connector that comes.
    monkeypatch.setattr(registry, "_installed", lambda kind: {"aws_absent": point} if kind == "sinks" else {})
    fakes = {
        kind: {name: found for name, found in registered.items() if name.startswith("fake_")}
        for kind, registered in registry._registered.items()
    }
    monkeypatch.setattr(registry, "_registered", fakes)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_every_mistake_is_told_at_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(ConfigError) as caught:
        load(f"{name}.yaml", environ=ENVIRONMENT)
    told = str(caught.value).replace(str(GOLDEN), "{folder}") + "\n"
    assert CANARY not in told
    answer = GOLDEN / f"{name}.txt"
    if os.environ.get("REGOLD"):
        answer.write_text(told)
    assert told == answer.read_text()


def test_there_is_no_answer_without_its_question() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {path.stem for path in GOLDEN.glob("*.yaml")}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than the 1048576"):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"export\.yaml:1:1: cannot read the file: .*`scribe-export init`"):
        load(tmp_path / "export.yaml")
