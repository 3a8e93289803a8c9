"""`forget`: a scan removed from the journal at an operator's word, and where else it is."""

import sys
from pathlib import Path
from typing import Any

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.config import Config
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.looking import Trace, moment, trace_at
from scribe_export.keys import path_safe
from scribe_export.oversize import claim_key

PATIENCE = 3600.0
"""Seconds: a large journal takes long to be made anew."""


@click.command(short_help="Remove a scan from the journal, and tell where it went.")
@config_argument
@click.argument("scan_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(config: Path, scan_id: str, *, yes: bool, as_json: bool) -> None:
    """Remove all of SCAN_ID from the journal: it is sent nowhere any more, and its bytes are overwritten.

    Where it went already it stays; the destinations are listed, so that you can remove it there. Deliveries wait while
    the journal's file is made anew. Exit code 1 if it could not be forgotten, or some of its bytes may still be there.
    """
    logs.configure("error")
    loaded = configuration.load(config)
    traces = trace_at(loaded, scan_id)
    if not traces:
        raise click.ClickException(
            f"scan {printable(scan_id)} is not known here; the journal remembers for journal.history"
        )
    if as_json and not yes:
        raise click.UsageError("--json asks nothing; add --yes to forget")
    if not yes:
        click.confirm(_question(scan_id, traces), abort=True, err=True)
    answer = ask_or_do(loaded, "forget", {"scan_id": scan_id}, timeout=PATIENCE)
    for inner in ("gone", "sealed"):
        del answer[inner]
    for one in answer["went"]:
        one["at"] = one["at"] and moment(one["at"])
        one["name"] = one["name"] or _name_there(loaded, one["destination"], scan_id, one["version"])
    answer["claims"] = _claims(loaded, traces, {one["destination"] for one in answer["went"]})
    answer["other_copies"] = sorted(str(path) for path in loaded.state_folder.glob(f"{FILE_NAME}.*"))
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    sys.exit(1 if answer["unscrubbed"] else 0)


def _question(scan_id: str, traces: list[Trace]) -> str:
    states: dict[str, list[str]] = {}
    for trace in traces:
        for step in trace.steps:
            states.setdefault(step.state, []).append(step.destination)
    told = ", ".join(f"{state}: {' '.join(dict.fromkeys(names))}" for state, names in states.items()) or "nowhere"
    return f"Forget scan {printable(scan_id)} for good ({printable(told)})?"


def _name_there(config: Config, destination: str, scan_id: str, version: int) -> str:
    """What its object is called where each scan has one: the key of today's config, with other fields left in it."""
    built = config.destinations.get(destination)
    key = getattr(built.options, "key", None) if built else None
    if not isinstance(key, str) or "{scan_id}" not in key:
        return ""
    return key.replace("{scan_id}", path_safe(scan_id) + ("~v*" if version > 1 else ""))


def _claims(config: Config, traces: list[Trace], destinations: set[str]) -> list[dict[str, str]]:
    """Where the whole of it may lie for destinations that could not take it whole."""
    stores = {
        built.options.oversize.destination
        for name, built in config.destinations.items()
        if name in destinations and built.options.oversize.action == "claim_check"
    }
    return [
        {"destination": store, "name": claim_key(trace.sha256)}
        for store in sorted(filter(None, stores))
        for trace in traces
    ]


def _print(answer: dict[str, Any]) -> None:
    click.echo(
        f"scan {printable(answer['scan_id'])} is forgotten: {answer['bodies']} bodies, "
        f"{answer['dead_letters']} dead letters, {answer['requests']} requests"
    )
    if answer["taken_out"]:
        click.echo(f"it is no longer sent to {', '.join(answer['taken_out'])}")
    for one in answer["went"]:
        name = f" as {one['name']}" if one["name"] else f" in batch {one['batch']}" if one["batch"] else ""
        told = f", answer {one['answer']}" if one["answer"] else ""
        click.echo(printable(f"{one['destination'] or '-'}: {one['state']}{name} {one['at'] or ''}".rstrip() + told))
    for claim in answer["claims"]:
        click.echo(f"{claim['destination']}: the whole of it as {claim['name']}, if it was too large for another")
    for path in answer["other_copies"]:
        click.echo(f"{path} may hold it still: an earlier journal; remove the file when you need it no more")
    if answer["unscrubbed"]:
        click.echo(f"its bytes may still be in the journal's files: {answer['unscrubbed']}; forget it again", err=True)
