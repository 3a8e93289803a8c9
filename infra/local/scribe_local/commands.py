"""`local`: the local cloud from the command line."""

from pathlib import Path

import click

from scribe_local.up import up as run_local_cloud


@click.group(short_help="Run a simulated scanner and a local cloud.")
def local() -> None:
    """A simulated SCRIBE scanner and seven cloud services on 127.0.0.1, to try a config against."""


@local.command("up", short_help="Run them until Ctrl-C.")
@click.option("--scans", type=click.IntRange(0), default=20, show_default=True, help="Begin with this many performed.")
@click.option(
    "--rate", type=click.FloatRange(0, 100), default=1.0, show_default=True, help="More scans a second; 0 for none."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed, the same scans.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep scans and objects here for the next start; left out, they are gone at the end.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object of endpoints, and nothing else, to stdout."
)
def up(scans: int, rate: float, seed: int, folder: Path | None, *, as_json: bool) -> None:
    """Run the scanner and the services until Ctrl-C, and print a config that is ready to use with them."""
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror}; name another --folder") from None
    run_local_cloud(json_output=as_json, folder=folder, scans=scans, rate=rate, seed=seed)
