"""`status`: the counts, read beside a running exporter or without one."""

import time
from pathlib import Path

import click
import msgspec

from scribe_export import config as configuration
from scribe_export.cli.cost import cost_json, print_cost
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json, print_table
from scribe_export.errors import ScribeExportError
from scribe_export.journal.looking import reading
from scribe_export.journal.status import DestinationStatus, JournalStatus, journal_status, used_bytes
from scribe_export.sizes import shown_size
from scribe_export.source_states import SourceState
from scribe_export.status_document import status_document
from scribe_export.usage.bill import Bill, bills
from scribe_export.usage.prices import Prices, load

_FILE = click.Path(dir_okay=False, path_type=Path)
ANSWER_WITHIN = 2.0
"""Seconds; what the journal says is shown at any rate."""


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


def read_used(folder: Path) -> int:
    """Bytes that a state folder's journal takes; raises `JournalError`."""
    with reading(folder) as db:
        return used_bytes(db.connection)


def sources_of(folder: Path) -> list[SourceState] | None:
    """What the exporter that runs on a state folder says of its sources; None if none runs, or it does not answer."""
    if not any(path.is_socket() for path in folder.iterdir()):
        return None
    # Half of this command's time, where nobody could be asked.
    from scribe_export.control import ask

    try:
        return msgspec.convert(ask(folder, "sources", {}, timeout=ANSWER_WITHIN), list[SourceState])
    except (ConnectionError, ScribeExportError):
        return None


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
    folder, quota = configuration.state_folder(config), configuration.journal_quota(config)
    status, used = read_status(folder), read_used(folder)
    sources = sources_of(folder)
    spent = read_bills(folder, known) if known else {}
    if as_json:
        cost = {"cost": cost_json(spent, known)} if known else {}
        print_json(status_document(status, used=used, quota=quota, sources=sources) | cost)
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
    click.echo(f"the journal takes {shown_size(used)}{_of(used, quota)}")
    for source in sources or ():
        click.echo(f"source {source.name}: {_told(source)}")
    if sources is None:
        click.echo("no exporter that runs on it answers")
    if known:
        print_cost(spent, known)


def _of(used: int, quota: int | None) -> str:
    if not quota:
        return ""
    full = ", and is full: sources pause until a destination takes its backlog" if used >= quota else ""
    return f" of its quota of {shown_size(quota)}{full}"


def _told(source: SourceState) -> str:
    """What it does, why, and when it brought something last."""
    ago = source.last_taken_seconds
    last = "nothing taken yet" if ago is None else f"{source.taken} taken, the last {ago:.0f}s ago"
    return printable(f"{source.state}, {last}" + (f": {source.reason[:80]}" if source.reason else ""))
