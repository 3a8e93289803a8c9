"""`status`: the counts, read beside a running exporter or without one."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export.cli.cost import cost_json, print_cost
from scribe_export.cli.shared import config_argument, json_option, print_json, print_table
from scribe_export.journal.looking import reading
from scribe_export.journal.status import DestinationStatus, JournalStatus, journal_status
from scribe_export.usage.bill import Bill, bills
from scribe_export.usage.prices import Prices, load

_FILE = click.Path(dir_okay=False, path_type=Path)


def read_status(folder: Path) -> JournalStatus:
    """Count from the journal of a state folder, whoever owns it; raises `JournalError`."""
    with reading(folder) as db:
        return journal_status(db.connection, time.time())


def _name(row: DestinationStatus) -> str:
    if row.state != "active":
        return f"{row.name} (not in the config)"
    return f"{row.name} (paused)" if row.paused else row.name


def read_bills(folder: Path, prices: Prices) -> dict[str, Bill]:
    """What was used and what it costs, from the journal of a state folder; raises `JournalError`."""
    with reading(folder) as db:
        return bills(db.connection, prices, time.time())


@click.command(short_help="Show what waits, what was delivered and what is dead.")
@config_argument
@json_option
@click.option("--cost", "with_cost", is_flag=True, help="Show what was used too, and what it costs by list prices.")
@click.option("--prices", type=_FILE, help="With --cost: a file of prices that come before the built-in ones.")
def command(config: Path, *, as_json: bool, with_cost: bool, prices: Path | None) -> None:
    """Show, for each destination, what waits, what was delivered, what is dead, and how it is doing."""
    if prices and not with_cost:
        raise click.UsageError("--prices goes with --cost")
    known = load(prices) if with_cost else None
    folder = configuration.state_folder(config)
    status = read_status(folder)
    used = read_bills(folder, known) if known else {}
    if as_json:
        rows = {
            row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in status.destinations
        }
        cost = {"cost": cost_json(used, known)} if known else {}
        print_json({**asdict(status), "destinations": rows, **cost})
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
    if known:
        print_cost(used, known)
