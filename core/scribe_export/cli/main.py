"""The group of commands, and what each kind of error becomes for the shell.

Exit codes: 0 done, or stopped by SIGTERM or SIGINT; 1 finished with something dead, undelivered or refused; 2 wrong usage
or config; 3 the state is owned by another process; 4 the journal cannot be used.
"""

import errno
import importlib
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from scribe_export.cli.printable import printable

_COMMANDS = {
    "run": "Deliver every scan until stopped.",
    "check": "Check a config; with --connect, reach everything it names.",
    "plan": "Show, offline, what every destination would get.",
    "send": "Journal scans from files; prints accepted ID once each is fsynced.",
    "status": "Show what waits, what was delivered and what is dead, by destination.",
    "trace": "Tell what became of one scan.",
    "audit": "Check the receipts, or print who was delivered what.",
    "dlq": "List, show, replay or discard dead letters.",
    "pause": "Hold a destination; its scans wait.",
    "resume": "Let a paused destination go on.",
    "destination": "Drain or discard a destination that left the config.",
    "journal": "Copy the journal, or check that it is whole.",
    "forget": "Remove a scan from the journal, and tell where it went.",
    "scan": "Ask the scanner for a scan and journal it.",
    "health": "Ask everything in a config whether it is well.",
    "connectors": "List connectors, or the options of one.",
    "schema": "Print the JSON Schema of the config, for editors.",
    "init": "Write an export.yaml to start from.",
}


class Commands(click.Group):
    """Loads a command's module only when it runs; other distributions add theirs as ``scribe_export.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a newcomer meets them."""
        return [*_COMMANDS, *sorted(point.name for point in _added())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, with its module."""
        if cmd_name in _COMMANDS:
            module = importlib.import_module(f"scribe_export.cli.{cmd_name}")
            command: click.Command = module.command
            return command
        for point in _added():
            if point.name == cmd_name:
                try:
                    loaded: click.Command = point.load()
                except ModuleNotFoundError as error:
                    raise click.ClickException(
                        f"{cmd_name} needs {error.name}; run: pip install 'scribe-export[local]'"
                    ) from None
                return loaded
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; one that is unknown is told with its nearest."""
        from scribe_export.suggest import did_you_mean

        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            ctx.fail(f'unknown command "{printable(args[0])}"{did_you_mean(args[0], known)}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without loading any."""
        added = [
            (point.name, _ADDED_HELP.get(point.name, f"From {point.value.partition('.')[0]}.")) for point in _added()
        ]
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items(), *sorted(added)])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; an error of ours becomes its message and its exit code."""
        from scribe_export import errors

        if sys.stdout is None:
            # Closed by whoever started it: then nobody wants to read anything.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _unheard(1)
        except OSError as error:
            if error.filename is not None or error.errno not in _OUTPUT_FAILS:
                raise
            click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
            _unheard(1)
        except errors.ConfigError as error:
            _end(str(error), 2)
        except errors.ConnectorUnavailable as error:
            _end(f"Error: {error}", 2)
        except errors.StateOwned as error:
            _end(str(error), 3)
        except errors.JournalError as error:
            _end(str(error), 4)
        except errors.ScribeExportError as error:
            _end(str(error), 1)


_ADDED_HELP = {
    "demo": "Show it at work on a simulated scanner and a local cloud.",
    "local": "Run a simulated scanner and a local cloud.",
}


def _added() -> list[Any]:
    return list(entry_points(group="scribe_export.commands"))


_OUTPUT_FAILS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def _unheard(code: int) -> None:
    """End without writing what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _end(message: str, code: int) -> None:
    click.echo(message if code == 2 else f"Error: {message}", err=True)
    sys.exit(code)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="scribe-export", message="%(version)s")
def main() -> None:
    """Deliver every completed SCRIBE scan to the destinations of one YAML file, and lose none."""
