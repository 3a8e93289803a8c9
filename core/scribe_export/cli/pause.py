"""`pause` and `resume`: a destination held at an operator's word."""

from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.suggest import did_you_mean


@click.command("pause", short_help="Hold a destination; its scans wait.")
@config_argument
@click.argument("destination")
@json_option
def command(config: Path, destination: str, *, as_json: bool) -> None:
    """Send nothing to DESTINATION until `resume`, also over restarts; what is in flight ends.

    Its scans wait in the journal, and the other destinations go on. The backlog counts against journal.quota.
    """
    _set(config, destination, paused=True, as_json=as_json)


@click.command("resume", short_help="Let a paused destination go on.")
@config_argument
@click.argument("destination")
@json_option
def resume(config: Path, destination: str, *, as_json: bool) -> None:
    """Send to DESTINATION again what has waited since `pause`; one that is held is tried at once."""
    _set(config, destination, paused=False, as_json=as_json)


def _set(config: Path, destination: str, *, paused: bool, as_json: bool) -> None:
    logs.configure("error")
    loaded = configuration.load(config)
    if destination not in loaded.destinations:
        raise click.UsageError(
            f'{config} has no destination "{destination}"{did_you_mean(destination, loaded.destinations)}'
        )
    answer = ask_or_do(loaded, "pause", {"destination": destination, "paused": paused})
    if as_json:
        print_json({"destination": destination, "paused": paused, **answer})
        return
    if answer["changed"]:
        click.echo(f"{destination} is {'paused' if paused else 'resumed'}")
    else:
        click.echo(f"{destination} was paused already" if paused else f"{destination} was not paused; it is tried now")
