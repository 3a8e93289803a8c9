"""What all acts share: the world, the exporter, and waiting for something to be seen."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scribe_local.demo.exporter import Exporter
from scribe_local.demo.failure import DemoFailed
from scribe_local.demo.scans import Scanning
from scribe_local.demo.screen import Screen
from scribe_local.demo.watch import Row, Watch
from scribe_local.demo.world import World

_PATIENCE = 60.0
_LOOK_EVERY = 0.1

Rows = Mapping[str, Row]


@dataclass(slots=True)
class Stage:
    """One demo at work. `restart_seconds` is filled by the act that kills the exporter, `traced` by the one that has the
    best scan to trace."""

    folder: Path
    world: World
    exporter: Exporter
    watch: Watch
    scanning: Scanning
    screen: Screen
    started: float = field(default_factory=time.monotonic)
    restart_seconds: float = 0.0
    traced: str = ""

    @property
    def config(self) -> Path:
        return self.exporter.config

    def wait(self, what: str, happened: Callable[[Rows], bool]) -> Rows:
        """Show the table until something has happened; raises `DemoFailed` if it does not, or if anything fails."""
        until = time.monotonic() + _PATIENCE
        while True:
            rows = self.watch.rows()
            self.screen.show(rows)
            if rows and happened(rows):
                return rows
            self.exporter.check()
            self.check()
            if time.monotonic() > until:
                raise DemoFailed(f"waited {_PATIENCE:g} s in vain for this: {what}; {self.exporter.log_tail()}")
            time.sleep(_LOOK_EVERY)

    def wait_for_end(self) -> int:
        """Show the table until the exporter ends by itself; its exit code."""
        while (code := self.exporter.ended()) is None:
            self.screen.show(self.watch.rows())
            self.check()
            time.sleep(_LOOK_EVERY)
        self.screen.show(self.watch.rows())
        return code

    def check(self) -> None:
        """Raise `DemoFailed` if anything around the exporter failed."""
        if self.scanning.failure:
            raise DemoFailed(f"a scan failed: {self.scanning.failure}\n{self.world.scanner.log_tail()}")
        for server in (self.world.scanner, *self.world.cloud.servers):
            if not server.running:
                raise DemoFailed(f"{server.name} ended by itself:\n{server.log_tail()}")

    def shell(self, *arguments: str) -> None:
        """Run one of the exporter's commands on the demo's config, and show it."""
        self.screen.shell(f"scribe-export {' '.join(arguments)}", self.exporter.ask(*arguments))


def delivered(rows: Rows, name: str) -> int:
    """As the journal counts it; 0 before the destination is known."""
    return rows[name].status.delivered if name in rows else 0


def pending(rows: Rows, name: str) -> int:
    """Scans that wait for a destination."""
    return rows[name].status.pending if name in rows else 0
