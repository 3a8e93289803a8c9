"""What a pipeline has around it: time, a disk that can lose power, the scans that come in."""

import os
import stat
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from scribe_export.journal.batches import SealedBatch
from scribe_export.lane.sending import Outcome

T = TypeVar("T")


class JumpingClock:
    """Wall time that only a test moves."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Disk:
    """Knows which files were synced, under which names; stands in for `os.fsync`."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[int, set[str]] = {}

    def fsync(self, handle: int) -> None:
        """Remember instead of waiting for a real disk."""
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            self._names[found.st_ino] = set(os.listdir(handle))
        else:
            self._sizes[found.st_ino] = found.st_size

    def lose_power(self, folder: Path) -> None:
        """What was not synced, or whose name was not, is gone."""
        for path in folder.glob("*/*"):
            found = path.stat()
            named = path.parent.name in self._names.get(folder.stat().st_ino, ())
            named = named and path.name in self._names.get(path.parent.stat().st_ino, ())
            if not named or self._sizes.get(found.st_ino) != found.st_size:
                path.unlink()


@dataclass(frozen=True, slots=True)
class Drawn:
    """A scan as a test draws it; `to` are the destinations it is routed to, `failing` those whose rule raises."""

    scan_id: int
    content: int = 0
    spaces: int = 0
    tag: str = ""
    group: str = "a"
    large: bool = False
    to: Sequence[str] = ()
    failing: Sequence[str] = ()
    valid: bool = True

    @property
    def body(self) -> bytes:
        """Its bytes."""
        if not self.valid:
            return b"no scan " + str(self.scan_id).encode()
        note = {"tag": self.tag, "group": self.group, "content": str(self.content)}
        return msgspec.json.format(msgspec.json.encode({"scan_id": self.scan_id, "note": note}), indent=self.spaces)


@dataclass(slots=True)
class Attempt:
    """A batch whose outcome is known to the lane, and not yet to the ledger."""

    batch: SealedBatch
    outcome: Outcome


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("a simulated destination waited")
