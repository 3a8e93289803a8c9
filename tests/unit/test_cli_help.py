"""What each command says of itself, word for word, and what that costs.

``REGOLD=1 pytest tests/unit/test_cli_help.py`` writes the answers anew; read the difference before committing it.
"""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.command_line import PROGRAM

from scribe_export.cli.main import main

GOLDEN = Path(__file__).parent / "golden" / "help"
OTHERS = {"demo", "local"}
"""Commands of other distributions, or of the local cloud; their help is their own tests' concern."""


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    context = click.Context(main)
    for name in main.list_commands(context):
        if name in OTHERS:
            continue
        found.append((name,))
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main, [*words, "--help"], prog_name="scribe-export", terminal_width=100)
    assert (ended.exit_code, ended.stderr) == (0, "")
    golden = GOLDEN / f"{'_'.join(words) or 'scribe-export'}.txt"
    if os.environ.get("REGOLD"):
        golden.write_text(ended.stdout, encoding="utf-8")
    assert ended.stdout == golden.read_text(encoding="utf-8")


def test_there_is_no_help_text_without_its_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {
        "_".join(words) or "scribe-export" for words in every_command()
    }


def test_the_commands_in_the_list_are_told_in_their_own_words() -> None:
    context = click.Context(main)
    for name in sorted(set(main.list_commands(context)) - OTHERS):
        command = main.get_command(context, name)
        assert command is not None
        assert command.short_help, name


def test_asking_for_help_loads_nothing_that_only_the_work_needs() -> None:
    code = (
        "import sys\n"
        "from scribe_export.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'pydantic', 'cel', 'msgspec', 'boto3', 'botocore', 'anyio', 'structlog', 'httpx', 'yaml'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded: []" in done.stdout


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(PROGRAM), "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"scribe-export --help: {spent:.3f} s of CPU")


def test_the_version_is_that_of_the_distribution() -> None:
    ended = CliRunner().invoke(main, ["--version"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", ended.stdout)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["statsu"], 'unknown command "statsu", did you mean "status"?'),
        (["frobnicate"], 'unknown command "frobnicate"; known are audit, check, connectors,'),
        (["dlq", "lst"], "Did you mean 'list'?"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "export.yaml", "--until-idel"], "--until-idle"),
        (["run", "export.yaml", "--max-wait", "10"], "not a duration: '10'; write a number with its unit"),
        (["run", "export.yaml", "--log-level", "loud"], "'loud' is not one of"),
        (["send", "export.yaml"], "Missing argument 'FILE...'"),
        (["scan", "export.yaml", "--amplitude", "2"], "2.0 is not in the range 0<=x<=1"),
        (["trace", "export.yaml"], "Missing argument 'SCAN_ID'"),
        (["run", "."], "is a directory"),
        (["connectors", "aws_s4"], 'unknown type "aws_s4", did you mean "aws_s3"?'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_a_word_on_what_is_meant(words: list[str], told: str) -> None:
    ended = CliRunner().invoke(main, words)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert told in ended.stderr
