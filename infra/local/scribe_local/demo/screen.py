"""What a person sees: a live table on a terminal, plain lines anywhere else, nothing for a program."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scribe_local.demo.watch import Row

_PLAIN_EVERY = 2.0


class Screen(Protocol):
    """Where the story is told; a context manager for as long as it is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def act(self, title: str) -> None:
        """Another act begins."""

    def say(self, text: str) -> None:
        """A line or more of the act."""

    def shell(self, command: str, output: str = "") -> None:
        """A command and what it printed."""

    def show(self, rows: Mapping[str, Row]) -> None:
        """How the destinations are doing now."""

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table that stays."""


class Silent:
    """For programs, which want the result alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def act(self, title: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def shell(self, command: str, output: str = "") -> None:
        pass

    def show(self, rows: Mapping[str, Row]) -> None:
        pass

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        pass


class Plain(Silent):
    """Lines, one after another, for logs and pipes."""

    def __init__(self) -> None:
        self._shown = 0.0

    def act(self, title: str) -> None:
        click.echo(f"\n{title}")

    def say(self, text: str) -> None:
        for line in text.splitlines():
            click.echo(f"  {line}")

    def shell(self, command: str, output: str = "") -> None:
        click.echo(f"  $ {command}")
        self.say("".join(f"    {line}\n" for line in output.splitlines()))

    def show(self, rows: Mapping[str, Row]) -> None:
        if rows and time.monotonic() - self._shown >= _PLAIN_EVERY:
            self._shown = time.monotonic()
            click.echo(f"    [delivered: {', '.join(f'{name} {_told(row)}' for name, row in rows.items())}]")

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        for row in (titles, *rows):
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _told(row: Row) -> str:
    status = row.status
    rest = [f"{status.pending} wait"] if status.pending else []
    rest += [f"{status.dead} dead"] if status.dead else []
    rest += [f"breaker {status.breaker}"] if status.breaker != "closed" else []
    return f"{status.delivered} ({', '.join(rest)})" if rest else str(status.delivered)


class Terminal:
    """The story scrolls above a table of the destinations that is kept up to date."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def act(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(title, "bold"))

    def say(self, text: str) -> None:
        self._console.print(Padding(Text(text), (0, 0, 0, 2)))

    def shell(self, command: str, output: str = "") -> None:
        self._console.print(Padding(Text(f"$ {command}", "cyan"), (0, 0, 0, 2)))
        if output.strip():
            self._console.print(Padding(Text(output.rstrip(), "dim"), (0, 0, 0, 4)))

    def show(self, rows: Mapping[str, Row]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("destination", "pending", "delivered", "dead", "breaker", "oldest pending", "rate"):
            table.add_column(title, justify="left" if title in {"destination", "breaker"} else "right")
        for name, row in rows.items():
            status = row.status
            table.add_row(
                name,
                Text(str(status.pending), "yellow" if status.pending else ""),
                str(status.delivered),
                Text(str(status.dead), "bold red" if status.dead else ""),
                Text(status.breaker.replace("_", "-"), "green" if status.breaker == "closed" else "bold red"),
                f"{status.oldest_pending_seconds:.1f} s" if status.pending else "-",
                f"{row.rate:.0f}/s",
            )
        self._live.update(Padding(table, (1, 0, 0, 2)), refresh=True)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for title in titles:
            table.add_column(title, justify="left" if title == titles[0] else "right")
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, 2)))
