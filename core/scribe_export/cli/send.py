"""`send`: scans from files into the journal."""

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.scan_files import bodies, files_argument
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.errors import InvalidScan
from scribe_export.model import Incoming
from scribe_export.scan import read_fields

GROUP = 100
GROUP_BYTES = 16 * 2**20


@click.command(short_help="Journal scans from files.")
@config_argument
@files_argument("files", "FILE...")
@json_option
def command(config: Path, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Journal the scans of each FILE (.json, .jsonl, either also .gz or .zst; - reads JSON lines).

    Prints "accepted ID" once a scan is fsynced. A running exporter delivers it; without one the next run does. It ends
    at the first that is no scan, with its file and line; those before it are accepted.
    """
    logs.configure("warning")
    loaded = configuration.load(config)
    answers = []
    try:
        for group in _groups(_checked(bodies(files, loaded.journal.max_record), loaded.journal.max_record)):
            encoded = [base64.b64encode(body).decode("ascii") for body in group]
            for answer in ask_or_do(loaded, "send", {"bodies": encoded}):
                answers.append(answer)
                if not as_json:
                    note = "" if answer["outcome"] == "new" else f" ({answer['outcome']})"
                    click.echo(f"accepted {printable(answer['scan_id'])}{note}")
            sys.stdout.flush()
    finally:
        if as_json:
            print_json({"accepted": answers})


def _checked(found: Iterator[Incoming], max_record: int) -> Iterator[bytes]:
    for one in found:
        if len(one.body) > max_record:
            raise click.ClickException(f"{one.origin}: longer than journal.max_record, {max_record} bytes")
        try:
            read_fields(one.body)
        except InvalidScan as error:
            raise click.ClickException(f"{one.origin}: {error}") from None
        yield one.body


def _groups(found: Iterator[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    try:
        for body in found:
            if group and (len(group) >= GROUP or size + len(body) > GROUP_BYTES):
                yield group
                group, size = [], 0
            group.append(body)
            size += len(body)
    except click.ClickException:
        if group:
            yield group
        raise
    if group:
        yield group
