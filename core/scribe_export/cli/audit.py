"""`audit`: the chain of receipts, checked, and told scan by scan."""

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from scribe_export import config as configuration
from scribe_export.cli.naming import check_destination
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.journal.audit import Wanted, audit_lines
from scribe_export.journal.chain import Chain, check_chain
from scribe_export.journal.looking import moment, reading
from scribe_export.journal.receipts import Link


@click.group(short_help="Check the receipts, or print who was delivered what.")
def command() -> None:
    """Receipts: what was delivered where, when, under which name and with which answer, and what operators did.

    Both commands only read, beside a running exporter or without one. The journal keeps receipts for journal.history.
    """


def _head(ctx: click.Context, param: click.Parameter, value: str | None) -> Link | None:  # noqa: ARG001 - click's own signature
    try:
        return Link.parse(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _instant(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001 - click's own signature
    if value is None:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"not a time: {value!r}; write it like 2026-03-01 or 2026-03-01T12:00:00Z") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


@command.command("verify")
@config_argument
@click.option("--head", callback=_head, metavar="NUMBER:HASH", help="A head noted earlier, which must still be there.")
@json_option
def verify(config: Path, head: Link | None, *, as_json: bool) -> None:
    """Check that no receipt was changed, removed or put in. Exit code 1 if one was.

    Note the head that it prints elsewhere: with --head the next time it also notices receipts that were removed from
    the end, and a chain that was made anew.
    """
    with reading(configuration.state_folder(config)) as db:
        chain = check_chain(db, head)
    if as_json:
        print_json(_as_json(chain))
    else:
        _print(chain)
    sys.exit(1 if chain.broken else 0)


@command.command("export")
@config_argument
@click.option(
    "--since", callback=_instant, metavar="TIME", help="Only receipts from then on; in UTC if nothing else is said."
)
@click.option("--until", callback=_instant, metavar="TIME", help="Only receipts before then.")
@click.option("--destination", help="Only those of this destination.")
@json_option
@click.option("--jsonl", is_flag=True, help="Print JSON, a line each, with hashes: others can check them.")
def export(
    config: Path, since: float | None, until: float | None, destination: str | None, *, as_json: bool, jsonl: bool
) -> None:
    """Print a line for each scan and destination: what became of it there, when, under which name, with which answer."""
    folder = configuration.state_folder(config)
    check_destination(folder, destination)
    with reading(folder) as db:
        lines = audit_lines(db, Wanted(since, until, destination), time.time())
        if jsonl:
            _write(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        elif as_json:
            _write(_array(lines))
        else:
            _write(_told(line) + "\n" for line in lines if line["line"] == "scan")


def _write(parts: Iterable[str]) -> None:
    try:
        for part in parts:
            sys.stdout.write(part)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever reads it has seen enough
    except OSError as error:
        raise click.ClickException(f"the export could not be written: {error.strerror}") from None


def _array(lines: Iterable[dict[str, Any]]) -> Iterable[str]:
    for number, line in enumerate(lines):
        yield (",\n" if number else "[\n") + json.dumps(line, ensure_ascii=False)
    yield "\n]\n"


def _told(line: dict[str, Any]) -> str:
    scan = f"number {line['number']}" if line["scan_id"] is None else line["scan_id"]
    words = f"{line['at']} {line['outcome']} {line['destination'] or '-'} {scan}"
    details = [f"as {line['name']}"] if line["name"] else [f"in batch {line['batch']}"] if line["batch"] else []
    if line["answer"]:
        details.append(f"answer {line['answer']}" if details else line["answer"])
    return printable(f"{words} ({', '.join(details)})" if details else words)


def _as_json(chain: Chain) -> dict[str, Any]:
    return {
        "sound": not chain.broken,
        "receipts": chain.receipts,
        "since": _when(chain.since),
        "until": _when(chain.until),
        "forgotten": chain.pruned.number,
        "head": str(chain.head),
        "broken": [{**asdict(one), "at": _when(one.at)} for one in chain.broken],
        "unnamed": chain.unnamed,
    }


def _print(chain: Chain) -> None:
    span = f", from {_when(chain.since)} to {_when(chain.until)}" if chain.receipts else ""
    click.echo(f"{chain.receipts} receipts{span}")
    if chain.pruned.number:
        click.echo(f"journal.history has forgotten those up to {chain.pruned.number}; the chain goes on from there")
    click.echo(f"head {chain.head}")
    for one in chain.broken:
        about = f" ({one.outcome} {one.destination or '-'} {_when(one.at) or ''})" if one.outcome else ""
        click.echo(f"receipt {one.number}{printable(about)}: {one.why}")
    if chain.unnamed:
        click.echo(f"and {chain.unnamed} more")
    click.echo(
        "broken: what these receipts say cannot be trusted; compare them with an export or a backup made earlier"
        if chain.broken
        else "every receipt follows from the one before"
    )


def _when(at: float | None) -> str | None:
    return None if at is None else moment(at)
