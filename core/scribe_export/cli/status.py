"""`status`: the counts, read beside a running exporter or without one."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export.cli.shared import config_argument, json_option, print_json, print_table
from scribe_export.journal.looking import reading
from scribe_export.journal.status import DestinationStatus, JournalStatus, journal_status


def read_status(folder: Path) -> JournalStatus:
    """Count from the journal of a state folder, whoever owns it; raises `JournalError`."""
    with reading(folder) as db:
        return journal_status(db.connection, time.time())


def _name(row: DestinationStatus) -> str:
    if row.state != "active":
        return f"{row.name} (not in the config)"
    return f"{row.name} (paused)" if row.paused else row.name


@click.command(short_help="Show what waits, what was delivered and what is dead.")
@config_argument
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """Show, for each destination, what waits, what was delivered, what is dead, and how it is doing."""
    status = read_status(configuration.state_folder(config))
    if as_json:
        rows = {
            row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in status.destinations
        }
        print_json({**asdict(status), "destinations": rows})
        return
    titles = ["destination", "pending", "delivered", "dead", "breaker", "oldest pending", "last error"]
    print_table(
        titles,
        [
            [
                _name(row),
                row.pending,
                row.delivered,
                row.dead,
                row.breaker,
                f"{row.oldest_pending_seconds:.0f}s" if row.pending else "-",
                row.last_error[:80] or "-",
            ]
            for row in status.destinations
        ],
    )
    click.echo(
        f"{status.scans} scans journalled, {status.duplicates} duplicates, {status.conflicts} conflicts, "
        f"{status.unrouted} unrouted, {status.invalid} bodies that were no scans"
    )
