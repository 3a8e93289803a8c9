"""`connectors`: what is installed, and the options of each."""

from typing import Any

import click

from scribe_export import registry
from scribe_export.cli.option_table import Row, option_rows, plain
from scribe_export.cli.shared import json_option, print_json, print_table
from scribe_export.interface import Sink


@click.command(short_help="List connectors, or the options of one.")
@click.argument("name", required=False)
@json_option
def command(name: str | None, *, as_json: bool) -> None:
    """List the connectors, or with NAME the options of that one."""
    listed = [entry for entry in registry.connectors() if name in {None, entry.name}]
    if not listed:
        registry.find("sinks", name or "")
    if as_json:
        print_json({"connectors": [_described(entry, options=name is not None) for entry in listed]})
        return
    if name is None:
        rows = [[entry.name, entry.kind[:-1], entry.problem or _summary(entry)] for entry in listed]
        print_table(["name", "kind", "what it does"], rows)
        return
    for entry in listed:
        click.echo(f"{entry.name} ({entry.kind[:-1]}): {entry.problem or _summary(entry)}")
        if entry.connector is not None and issubclass(entry.connector, Sink):
            click.echo(f"effect: {entry.connector.effect.kind.value}, by {entry.connector.effect.by}")
        if entry.connector is not None:
            print_table(Row._fields, option_rows(entry.connector.options_type))
        click.echo()


def _summary(entry: registry.Listed) -> str:
    text = (entry.connector.__doc__ or "") if entry.connector else ""
    return plain(text.strip().split("\n\n")[0])


def _described(entry: registry.Listed, *, options: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind[:-1],
        "origin": entry.origin,
        "summary": _summary(entry),
        "problem": entry.problem,
    }
    if options and entry.connector is not None:
        described["options"] = entry.connector.options_type.model_json_schema()
    return described
