"""`send`: scans from files into the journal."""

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.archives import codec
from scribe_export.asking import ask_or_do
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.errors import InvalidScan
from scribe_export.model import Incoming
from scribe_export.scan import read_fields

GROUP = 100
GROUP_BYTES = 16 * 2**20


@click.command(short_help="Journal scans from files.")
@config_argument
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True, path_type=Path))
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
        for group in _groups(_checked(_bodies(files, loaded.journal.max_record), loaded.journal.max_record)):
            bodies = [base64.b64encode(body).decode("ascii") for body in group]
            for answer in ask_or_do(loaded, "send", {"bodies": bodies}):
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


def _bodies(files: tuple[Path, ...], max_record: int) -> Iterator[Incoming]:
    for path in files:
        try:
            if str(path) == "-":
                yield from _lines(sys.stdin.buffer, "stdin", max_record)
                continue
            with path.open("rb") as raw, codec.decompressed(raw, codec.compression_of(path.name)) as stream:
                if {".jsonl", ".ndjson"} & set(path.suffixes):
                    yield from _lines(stream, str(path), max_record)
                else:
                    yield Incoming(stream.read(max_record + 1), str(path))
        except codec.DAMAGED as error:
            raise click.ClickException(f"{path}: the compressed data is damaged: {error}") from None
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror or error}") from None


def _lines(stream: BinaryIO | io.BufferedIOBase, name: str, max_record: int) -> Iterator[Incoming]:
    number = 0
    while line := stream.readline(max_record + 2):
        number += 1
        if body := line.rstrip(b"\r\n"):
            yield Incoming(body, f"{name}:{number}")


def _groups(bodies: Iterator[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    try:
        for body in bodies:
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
