"""What this process opens and connects to while something is looked at, as Python's own audit events tell.

https://docs.python.org/3/library/audit_events.html
"""

import os
import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAM = tuple(
    {str(Path(place).resolve()) for place in (*sys.path, sys.prefix, sys.base_prefix, *zoneinfo.TZPATH) if place}
)
_NETWORK = frozenset({"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind", "urllib.Request"})


class _Reach:
    def __init__(self) -> None:
        self.seen: list[str] | None = None

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is None:
            return
        if event in _NETWORK or event.startswith(("subprocess.", "os.exec", "os.posix_spawn")):
            self.seen.append(f"{event} {arguments!r:.200}")
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(_PROGRAM):
                self.seen.append(path)


_reach = _Reach()
sys.addaudithook(_reach)


@contextmanager
def reached() -> Iterator[list[str]]:
    """The files that are opened within the block, but for the program's own, and what of the network is touched."""
    seen: list[str] = []
    _reach.seen = seen
    try:
        yield seen
    finally:
        _reach.seen = None
