"""Scans in files, as commands take them."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from scribe_export.archives import codec
from scribe_export.model import Incoming

Command = TypeVar("Command", bound=Callable[..., Any])


def files_argument(name: str, metavar: str) -> Callable[[Command], Command]:
    """One file or more, ``-`` among them."""
    return click.argument(
        name, nargs=-1, required=True, metavar=metavar, type=click.Path(allow_dash=True, path_type=Path)
    )


def bodies(files: tuple[Path, ...], longest: int | None = None) -> Iterator[Incoming]:
    """The bodies in files, one document or JSON lines each by their names; a body longer than `longest` is cut off.

    Raises `click.ClickException` for a file that cannot be read.
    """
    for path in files:
        try:
            if str(path) == "-":
                yield from _lines(sys.stdin.buffer, "stdin", longest)
                continue
            with path.open("rb") as raw, codec.decompressed(raw, codec.compression_of(path.name)) as stream:
                if {".jsonl", ".ndjson"} & set(path.suffixes):
                    yield from _lines(stream, str(path), longest)
                else:
                    yield Incoming(stream.read(-1 if longest is None else longest + 1), str(path))
        except codec.DAMAGED as error:
            raise click.ClickException(f"{path}: the compressed data is damaged: {error}") from None
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror or error}") from None


def _lines(stream: BinaryIO | io.BufferedIOBase, name: str, longest: int | None) -> Iterator[Incoming]:
    number = 0
    while line := stream.readline(-1 if longest is None else longest + 2):
        number += 1
        if body := line.rstrip(b"\r\n"):
            yield Incoming(body, f"{name}:{number}")
