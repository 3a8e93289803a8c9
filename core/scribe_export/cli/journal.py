"""`journal`: a copy of it, and whether it is whole."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.journal.checking import check_journal
from scribe_export.journal.looking import reading

LONGEST = 3600.0
"""Seconds that a copy may take."""


@click.group(short_help="Copy the journal, or check that it is whole.")
def command() -> None:
    """The journal: every scan that some destination has not confirmed."""


@command.command("backup")
@config_argument
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def backup(config: Path, folder: Path, *, as_json: bool) -> None:
    """Copy CONFIG's journal, as it is now, into FOLDER, which is made; a running exporter goes on.

    To go on from the copy, make FOLDER the state folder of a pipeline: what waited then is delivered, and what has been
    delivered since comes a second time. Destinations that can tell keep it once.
    """
    logs.configure("error")
    loaded = configuration.load(config)
    with reading(loaded.state_folder):
        pass  # without a journal there is nothing to copy, and none is made
    answer = ask_or_do(loaded, "backup", {"target": str(folder.absolute())}, timeout=LONGEST)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{folder}: {answer['scans']} scans, {answer['bytes']} bytes")


@command.command("check")
@config_argument
@json_option
def check(config: Path, *, as_json: bool) -> None:
    """Read the whole journal: its pages, every body against its sha256, every receipt against the one before.

    Nothing is changed, and a running exporter goes on. Exit code 1 if something is wrong.
    """
    found = check_journal(configuration.state_folder(config))
    if as_json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            click.echo(printable(problem))
        verdict = "is whole" if not found.problems else "is damaged; a restart recovers what verifies"
        click.echo(f"{found.bodies} bodies, {found.bytes} bytes, {found.receipts} receipts: the journal {verdict}")
    sys.exit(1 if found.problems else 0)
