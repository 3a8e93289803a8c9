"""The command itself: its options, its signals and its exit code."""

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import msgspec

from scribe_export.errors import ScribeExportError
from scribe_local.demo.folder import claimed
from scribe_local.demo.screen import Plain, Screen, Silent, Terminal
from scribe_local.demo.story import tell

FOLDER = Path("demo")


@click.command(short_help="Show it at work on a simulated scanner and a local cloud.")
@click.option("--json", "as_json", is_flag=True, help="Print only the result, as JSON, to stdout.")
def command(*, as_json: bool) -> None:
    """Export a simulated scanner's scans to seven cloud services and a folder, while one goes away and the exporter is
    killed; about a minute.

    Everything runs on 127.0.0.1 and ends with the demo. What it wrote stays in ./demo, with the export.yaml that it ran.
    Exit code 1 if a scan is missing or doubled at a destination: they are counted there, not by the exporter.
    """
    screen = _screen(as_json=as_json)
    try:
        with _leaving(), claimed(FOLDER) as folder, screen:
            result = tell(folder, screen)
    except KeyboardInterrupt:
        raise click.ClickException("stopped; nothing that the demo started runs any more") from None
    except (ScribeExportError, OSError) as error:
        raise click.ClickException(f"the demo failed: {error}") from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result.document())).decode())
    sys.exit(1 if result.lost or result.doubled else 0)


def _screen(*, as_json: bool) -> Screen:
    if as_json:
        return Silent()
    return Terminal() if sys.stdout.isatty() and shutil.get_terminal_size().columns >= 70 else Plain()


@contextmanager
def _leaving() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, and so does SIGINT where a script has it ignored."""

    def leave(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before: dict[signal.Signals, Any] = {
        which: signal.signal(which, leave) for which in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for which, action in before.items():
            signal.signal(which, action)
