"""The runbook has an answer to every alert, and types only what there is."""

import re
from pathlib import Path
from typing import get_args

import click
import pytest

from scribe_export.alerts.event import Alert
from scribe_export.cli.main import main

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
RUNBOOK = (GUIDE / "runbook.md").read_text("utf-8")
TYPED = sorted(
    {
        words.strip()
        for page in (RUNBOOK, (GUIDE / "operation.md").read_text("utf-8"))
        for words in re.findall(r"scribe-export ((?:[a-z-]+ ?)+[^`\n#]*)", page)
    }
)


def test_every_alert_has_its_section_that_says_what_to_type() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
    for alert in get_args(Alert):
        assert alert in sections
        assert re.search(r"^1\. ", sections[alert], re.MULTILINE), alert


@pytest.mark.parametrize("words", TYPED)
def test_every_command_in_it_exists_with_its_options(words: str) -> None:
    context = click.Context(main)
    name, *rest = words.split()
    command = main.get_command(context, name)
    assert command is not None, name
    if isinstance(command, click.Group):
        command = command.get_command(context, rest.pop(0))
        assert command is not None, words
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known, words


def test_every_exit_code_but_that_of_success_is_explained() -> None:
    codes = set(re.findall(r"^\| (\d) \|", RUNBOOK, re.MULTILINE))
    assert codes == {"2", "3", "4"}, "1 is no reason not to start"


def test_its_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9_ -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in RUNBOOK.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(#([^)]+)\)", RUNBOOK):
        assert target in headings
    for target in re.findall(r"\]\(([^)#]+)", RUNBOOK):
        assert (GUIDE / target).exists(), target
