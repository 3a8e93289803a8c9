"""`plan`: what would become of scans, and the requests that would be sent."""

import sys
from functools import partial
from pathlib import Path

import anyio
import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.cli.plan_json import as_json as document
from scribe_export.cli.plan_text import lines
from scribe_export.cli.scan_files import bodies, files_argument
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.clock import SystemClock
from scribe_export.planning import Place, plan


class _Unreadable(click.ClickException):
    exit_code = 2


@click.command(short_help="Show, offline, what every destination would get.")
@config_argument
@files_argument("scans", "SCAN...")
@click.option("--source", help="The source of CONFIG that they are thought to come from; by default none of them.")
@json_option
def command(config: Path, scans: tuple[Path, ...], *, source: str | None, as_json: bool) -> None:
    """Show which destinations each SCAN would go to, why not to the others, and the exact requests.

    SCAN is a file (.json, .jsonl, either also .gz or .zst; - reads JSON lines). Nothing is opened, journalled or sent,
    and no credentials are needed. The scans are thought to arrive at once at an empty journal: ids of batches, and
    what comes of the moment of journalling, are other ones when they are delivered. Exit code 1 if a scan would be
    dead.
    """
    logs.configure("error")
    loaded = configuration.load(config)
    if source is not None and source not in loaded.sources:
        raise click.UsageError(f'{config} has no source "{source}"')
    scope = loaded.sources[source].options.scope if source else None
    try:
        found = list(bodies(scans))
    except click.ClickException as error:
        raise _Unreadable(error.message) from None
    made = anyio.run(
        partial(plan, loaded, found, place=Place(SystemClock().now()), source=source or "send", scope=scope)
    )
    if as_json:
        print_json({"config": str(config)} | document(made))
    else:
        for line in lines(made):
            click.echo(line)
    if not made.sound:
        sys.exit(1)
