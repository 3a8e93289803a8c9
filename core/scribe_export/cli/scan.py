"""`scan`: one scan on request."""

import uuid
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json


@click.command(short_help="Ask the scanner for a scan and journal it.")
@config_argument
@click.option("--signal-type", default="sine", show_default=True, help="The excitation, like sine, sweep or noise.")
@click.option("--frequency", default=440.0, show_default=True, type=click.FloatRange(min=0), help="In hertz.")
@click.option("--duration", default=2.0, show_default=True, type=click.FloatRange(min=0), help="In seconds.")
@click.option("--amplitude", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--request-id", help="The same id is never performed twice.")
@json_option
def command(
    config: Path,
    signal_type: str,
    frequency: float,
    duration: float,
    amplitude: float,
    request_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Ask CONFIG's scanner for one scan and journal it for every destination; prints "scanned ID"."""
    logs.configure("warning")
    loaded = configuration.load(config)
    if loaded.scanner is None:
        raise click.UsageError(f"{config} has no scanner; add one, like:  scanner: {{type: scribe_api, url: …}}")
    request = {"signal_type": signal_type, "frequency": frequency, "duration": duration, "amplitude": amplitude}
    answer = ask_or_do(loaded, "scan", {"request": request, "request_id": request_id or uuid.uuid4().hex})
    if as_json:
        print_json(answer)
    else:
        click.echo(f"scanned {printable(answer['scan_id'])}")
