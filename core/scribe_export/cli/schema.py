"""`schema`: the config's JSON Schema."""

import click

from scribe_export import config as configuration
from scribe_export.cli.shared import print_json


@click.command(short_help="Print the JSON Schema of the config.")
def command() -> None:
    """Print the JSON Schema of the config with every installed connector, for editors and other programs."""
    print_json(configuration.schema())
