"""`init`: a config to start from."""

from pathlib import Path

import click

from scribe_export import config as configuration


@click.command(short_help="Write an export.yaml to start from.")
@click.argument("path", type=click.Path(path_type=Path), default="export.yaml")
def command(path: Path) -> None:
    """Write a commented config to PATH (export.yaml); a file that is there already stays as it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(configuration.starter())
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; name another file, or remove it first") from None
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    click.echo(f"wrote {path}; see that it is right with: scribe-export check {path}")
