"""`destination`: what becomes of one that left the config."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, duration, json_option, print_json
from scribe_export.cli.status import read_status
from scribe_export.config import Config
from scribe_export.journal.status import DestinationStatus
from scribe_export.suggest import did_you_mean

ROUND = 10.0
"""Seconds of delivering before the next line of progress."""


@click.group(short_help="Drain or discard a destination that left the config.")
def command() -> None:
    """A destination that left the config: its backlog is kept until it is drained or discarded."""


@command.command("drain")
@config_argument
@click.argument("name")
@click.option(
    "--from",
    "old",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A config that still has it, like the one of before.",
)
@click.option(
    "--max-wait", metavar="DURATION", default="10m", callback=duration, show_default=True, help="End after this."
)
@json_option
def drain(config: Path, name: str, old: Path, max_wait: float, *, as_json: bool) -> None:
    """Deliver the backlog of NAME, which left CONFIG, as --from describes it; then it is gone from the journal.

    A running exporter does it beside its other work. Exit code 1 if something of the backlog is left.
    """
    logs.configure("error")
    loaded = configuration.load(config)
    _left(loaded, name)
    before = configuration.load(old)
    if name not in before.destinations:
        raise click.UsageError(f'{old} has no destination "{name}"{did_you_mean(name, before.destinations)}')
    deadline = time.monotonic() + max_wait
    while True:
        within = max(0.1, min(ROUND, deadline - time.monotonic()))
        answer = ask_or_do(loaded, "drain", {"destination": name, "old": str(old.absolute()), "within": within})
        if answer["gone"] or answer["stuck"] or time.monotonic() >= deadline:
            break
        click.echo(f"{name}: {answer['pending']} wait, {answer['dead']} are dead", err=True)
    _tell_drained(name, answer, as_json=as_json)
    sys.exit(0 if answer["gone"] else 1)


def _tell_drained(name: str, answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({"destination": name, **answer})
    elif answer["gone"]:
        click.echo(f"{name} has everything and has left the journal")
    else:
        click.echo(f"{name}: {answer['pending']} still wait, {answer['dead']} are dead letters")
        if answer["reason"]:
            click.echo(f"last error: {printable(answer['reason'])}")
        if answer["dead"] and not answer["pending"]:
            click.echo(f"what is dead is given up by: scribe-export destination discard CONFIG {name}")


@command.command("discard")
@config_argument
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def discard(config: Path, name: str, *, yes: bool, as_json: bool) -> None:
    """Give up the backlog of NAME, which left CONFIG, and its dead letters, for good."""
    logs.configure("error")
    loaded = configuration.load(config)
    row = _left(loaded, name)
    count = row.pending + row.dead
    if count and as_json and not yes:
        raise click.UsageError("--json asks nothing; add --yes to discard")
    if count and not yes:
        click.confirm(
            f"Give up {row.pending} scans that wait and {row.dead} dead letters for good?", abort=True, err=True
        )
    answer = ask_or_do(loaded, "discard destination", {"destination": name})
    if as_json:
        print_json({"destination": name, **answer})
    else:
        click.echo(f"{name} has left the journal, and {answer['discarded']} scans with it")


def _left(config: Config, name: str) -> DestinationStatus:
    """Its row; a usage error if it has not left the config, or was never there."""
    if name in config.destinations:
        raise click.UsageError(
            f"{name} is in {config.path}, and delivers what waits; take it out of the file first, and restart"
        )
    rows = {row.name: row for row in read_status(config.state_folder).destinations}
    if name not in rows:
        gone = [one for one, row in rows.items() if one not in config.destinations]
        hint = did_you_mean(name, gone) if gone else "; none that it knows has left the file"
        raise click.UsageError(f'the journal knows no destination "{name}"{hint}')
    return rows[name]
