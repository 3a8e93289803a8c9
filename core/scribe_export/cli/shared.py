"""What commands share: the arguments they all take, and how they print."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from scribe_export.cli.printable import printable
from scribe_export.options import parse_duration

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, to stdout.")


def config_argument(command: Command) -> Command:
    """The path of the config file."""
    return click.argument("config", type=click.Path(dir_okay=False, path_type=Path))(command)


def duration(ctx: click.Context, param: click.Parameter, value: str) -> float:  # noqa: ARG001 - click's own signature
    """An option's seconds, from text like ``10m``."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


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


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else printable(str(value))


def _numeric(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
