"""`check`: is the file right, and with --connect, does everything answer."""

import sys
from pathlib import Path
from typing import Any, cast

import anyio
import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.cli.shared import config_argument, json_option, print_json, print_table
from scribe_export.config import Config
from scribe_export.errors import ScribeExportError
from scribe_export.interface import Connector, Sink
from scribe_export.journal.ballast import BALLAST_BYTES
from scribe_export.unbuffered.effects import effect_without_journal


@click.command(short_help="Check a config.")
@config_argument
@click.option("--connect", is_flag=True, help="Also reach every source, scanner and destination.")
@json_option
def command(config: Path, *, connect: bool, as_json: bool) -> None:
    """Check CONFIG, and show what each destination promises. Every mistake is named with its line; exit code 2."""
    logs.configure("error")
    loaded = configuration.load(config)
    if loaded.buffer == "journal":
        configuration.check_room(loaded, ballast=BALLAST_BYTES)
    rows = anyio.run(_rows, loaded, connect)
    if as_json:
        print_json({"config": str(config), "entries": rows})
    else:
        titles = ["name", "kind", "type", "effect", *(["reached"] if connect else [])]
        print_table(titles, [[row[title] for title in titles] for row in rows])
        click.echo(f"{config} is right")
    unreached = sum(row.get("reached", "yes") != "yes" for row in rows)
    if unreached:
        click.echo(f"but {unreached} of {len(rows)} cannot be reached", err=True)
        sys.exit(1)


async def _rows(config: Config, connect: bool) -> list[dict[str, Any]]:  # noqa: FBT001
    entries: list[tuple[str, Any]] = [("source", built) for built in config.sources.values()]
    entries += [("scanner", config.scanner)] if config.scanner else []
    entries += [("destination", built) for built in config.destinations.values()]
    rows: list[dict[str, Any]] = []
    for kind, built in entries:
        connector = cast("Connector[Any]", built.connector(built.options, config.context(built.name)))
        effect = _effect(config, connector) if isinstance(connector, Sink) else "-"
        row = {"name": built.name, "kind": kind, "type": built.options.type, "effect": effect}
        if connect:
            row["reached"] = await _reached(connector)
        rows.append(row)
    return rows


def _effect(config: Config, sink: Sink) -> str:
    effect = sink.effect if config.buffer == "journal" else effect_without_journal(sink)
    return f"{effect.kind.value}, by {effect.by}"


async def _reached(connector: Connector[Any]) -> str:
    try:
        await connector.open()
    except ScribeExportError as error:
        return f"no: {error}"
    finally:
        await connector.close()
    return "yes"
