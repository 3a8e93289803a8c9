"""`dlq`: dead letters, looked at, sent again or given up."""

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.naming import check_destination
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import Command, config_argument, json_option, print_json, print_table
from scribe_export.journal.dead import Selection
from scribe_export.journal.looking import dead_letters_at, reading, stored_body

SHOWN_ID = 40


def selection_options(command: Command) -> Command:
    """Which dead letters are meant."""
    options: list[Callable[[Command], Command]] = [
        click.option("--destination", help="Only those of this destination."),
        click.option("--class", "kind", help="Only those of this class, like poison, rejected, conflict or rule."),
        click.option("--scan-id", "scan_ids", multiple=True, help="Only this scan; may be given again."),
    ]
    for option in options:
        command = option(command)
    return command


@click.group(short_help="List, show, replay or discard dead letters.")
def command() -> None:
    """Dead letters: scans that a destination can never accept, kept with their reason until you decide."""


@command.command("list")
@config_argument
@selection_options
@json_option
def list_letters(
    config: Path, destination: str | None, kind: str | None, scan_ids: tuple[str, ...], *, as_json: bool
) -> None:
    """List dead letters, with why each is one."""
    folder = configuration.state_folder(config)
    check_destination(folder, destination)
    letters = dead_letters_at(folder, Selection(destination, kind, scan_ids))
    if as_json:
        print_json({"dead_letters": [asdict(letter) for letter in letters]})
        return
    titles = ["scan", "destination", "class", "when", "bytes", "error"]
    print_table(
        titles,
        [
            [
                _short(letter.scan_id),
                letter.destination or "-",
                letter.kind,
                _when(letter.at),
                letter.size,
                letter.error[:100],
            ]
            for letter in letters
        ],
    )
    click.echo(f"{len(letters)} dead letters")


@command.command("show")
@config_argument
@click.argument("scan_id")
@click.option("--number", type=int, help="Of several bodies that came under one id, this one.")
@click.option("--raw", is_flag=True, help="Write the body alone, byte for byte as it came.")
@json_option
def show(config: Path, scan_id: str, number: int | None, *, raw: bool, as_json: bool) -> None:
    """Show the dead letters of one scan, and what came under its id."""
    folder = configuration.state_folder(config)
    letters = dead_letters_at(folder, Selection(scan_ids=[scan_id]))
    letters = [letter for letter in letters if number in {None, letter.seq}]
    if not letters:
        raise click.ClickException(
            f"scan {scan_id} is no dead letter; `dlq list` lists them, `trace` tells of any scan"
        )
    bodies = {seq: stored_body(folder, seq) for seq in dict.fromkeys(letter.seq for letter in letters)}
    if raw:
        _write_raw(bodies)
        return
    if as_json:
        first = _text(bodies[letters[0].seq])
        exact = {seq: base64.b64encode(body).decode("ascii") for seq, body in bodies.items() if body is not None}
        print_json({"dead_letters": [asdict(letter) for letter in letters], "body": first, "base64": exact})
        return
    for seq, body in bodies.items():
        if len(bodies) > 1:
            click.echo(f"number {seq}")
        for letter in letters:
            if letter.seq == seq:
                where = letter.destination or "no destination"
                click.echo(f"{where}: {letter.kind} since {_when(letter.at)}: {printable(letter.error)}")
        click.echo(printable(_text(body), keep="\n\t") if body is not None else "its body is no longer in the journal")


def _write_raw(bodies: Mapping[int, bytes | None]) -> None:
    if len(bodies) > 1:
        raise click.ClickException(
            f"several bodies came under this id; choose with --number: {', '.join(map(str, bodies))}"
        )
    [body] = bodies.values()
    if body is None:
        raise click.ClickException("its body is no longer in the journal")
    click.echo(body, nl=False)


def _text(body: bytes | None) -> str:
    return "" if body is None else body.decode("utf-8", "backslashreplace")


@command.command("replay")
@config_argument
@selection_options
@click.option("--reroute", is_flag=True, help="Send those of class rule only where today's rules send them.")
@json_option
def replay(
    config: Path,
    destination: str | None,
    kind: str | None,
    scan_ids: tuple[str, ...],
    *,
    reroute: bool,
    as_json: bool,
) -> None:
    """Send dead letters again. A running exporter does so at once; otherwise the next run does."""
    logs.configure("error")
    arguments = {**_arguments(destination, kind, scan_ids), "reroute": reroute}
    loaded = configuration.load(config)
    with reading(loaded.state_folder):
        pass  # without a journal there is nothing to replay, and none is made
    check_destination(loaded.state_folder, destination)
    answer = ask_or_do(loaded, "replay", arguments)
    if as_json:
        print_json(answer)
        return
    click.echo(f"{answer['sealed']} dead letters are on their way again")
    for why in answer["kept"]:
        click.echo(f"kept: {printable(why)}")


@command.command("discard")
@config_argument
@selection_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def discard(
    config: Path,
    destination: str | None,
    kind: str | None,
    scan_ids: tuple[str, ...],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Give dead letters up for good. Their scans stay at the destinations that have them."""
    logs.configure("error")
    loaded = configuration.load(config)
    check_destination(loaded.state_folder, destination)
    count = len(dead_letters_at(loaded.state_folder, Selection(destination, kind, scan_ids)))
    if count and as_json and not yes:
        raise click.UsageError("--json asks nothing; add --yes to discard")
    if count and not yes:
        click.confirm(f"Discard {count} dead letters for good?", abort=True, err=True)
    answer = ask_or_do(loaded, "discard", _arguments(destination, kind, scan_ids))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{answer['discarded']} dead letters discarded")


def _short(scan_id: str) -> str:
    """One long id must not push the other columns away; `--json` and `show` have it whole."""
    return scan_id if len(scan_id) <= SHOWN_ID else scan_id[: SHOWN_ID - 1] + "…"


def _arguments(destination: str | None, kind: str | None, scan_ids: tuple[str, ...]) -> dict[str, Any]:
    return {"destination": destination, "kind": kind, "scan_ids": list(scan_ids)}


def _when(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
