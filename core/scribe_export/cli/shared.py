"""What commands share: the arguments they all take, and how they print."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from scribe_export.cli.printable import printable
from scribe_export.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, to stdout.")


def config_argument(command: Command) -> Command:
    """The path of the config file."""
    return click.argument("config", type=click.Path(dir_okay=False, path_type=Path))(command)


def print_json(value: Any) -> None:
    """One JSON document to stdout."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need to be; numbers stand to the right."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(len(title), *(len(row[index]) for row in cells), 0) for index, title in enumerate(titles)]
    numeric = [bool(cells) and all(_numeric(row[index]) for row in cells) for index in range(len(titles))]
    for row in [list(titles), *cells]:
        line = "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        click.echo(line.rstrip())


def ask_or_do(config: Config, op: str, arguments: Mapping[str, Any]) -> Any:
    """Have an operation done by the exporter that runs on this state, or do it here if none does."""
    import anyio

    from scribe_export.control import ask
    from scribe_export.errors import StateOwned

    try:
        return ask(config.state_folder, op, arguments)
    except ConnectionError:
        pass
    try:
        return anyio.run(_do_here, config, op, arguments)
    except StateOwned:
        # The owner may just be starting: its socket appears once its journal is open.
        return ask_when_ready(config, op, arguments)


def ask_when_ready(config: Config, op: str, arguments: Mapping[str, Any]) -> Any:
    """Ask again for a few seconds; raises `StateOwned` if the owner never answers."""
    import time

    from scribe_export.control import ask
    from scribe_export.errors import StateOwned

    for _ in range(50):
        time.sleep(0.1)
        try:
            return ask(config.state_folder, op, arguments)
        except ConnectionError:
            continue
    raise StateOwned(f"{config.state_folder}: in use by a process that does not answer")


async def _do_here(config: Config, op: str, arguments: Mapping[str, Any]) -> Any:
    from scribe_export.control import perform
    from scribe_export.exporter import Exporter

    async with Exporter(config, sources=False, lanes=False) as exporter:
        return await perform(exporter, op, arguments)


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else printable(str(value))


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
