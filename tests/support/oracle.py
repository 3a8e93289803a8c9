"""What must be true at the end: every scan that was given is known here by its id and sha256."""

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zstandard


def small_scan(number: int, size: int = 700) -> bytes:
    """A scan's JSON of about `size` bytes, quickly made and different for each number."""
    filler = hashlib.sha256(str(number).encode()).hexdigest()
    notes = (filler * (1 + size // len(filler)))[: max(0, size - 80)]
    return msgspec.json.encode({"scan_id": number, "timestamp": "2026-05-06T12:00:00Z", "notes": notes})


@dataclass(frozen=True, slots=True)
class Difference:
    """How what is held differs from what was given; ids."""

    lost: list[str]
    doubled: list[str]
    altered: list[str]
    foreign: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.altered or self.foreign)

    def __str__(self) -> str:
        parts = {"lost": self.lost, "doubled": self.doubled, "altered": self.altered, "foreign": self.foreign}
        return ", ".join(f"{len(ids)} {name} {ids[:3]}" for name, ids in parts.items() if ids) or "no difference"


@dataclass(slots=True)
class Oracle:
    """Scan id to the sha256 of its body."""

    given: dict[str, str] = field(default_factory=dict)

    def give(self, number: int, size: int = 700) -> bytes:
        """A new scan's body, remembered."""
        body = small_scan(number, size)
        self.given[str(number)] = hashlib.sha256(body).hexdigest()
        return body

    def compare(self, held: Iterable[bytes]) -> Difference:
        """Judge the bodies that a destination holds."""
        seen: Counter[str] = Counter()
        altered, foreign = [], []
        for body in held:
            scan_id = str(msgspec.json.decode(body)["scan_id"])
            seen[scan_id] += 1
            if scan_id not in self.given:
                foreign.append(scan_id)
            elif hashlib.sha256(body).hexdigest() != self.given[scan_id]:
                altered.append(scan_id)
        doubled = [scan_id for scan_id, count in seen.items() if count > 1]
        return Difference([one for one in self.given if one not in seen], doubled, altered, foreign)


def lines(data: bytes, name: str) -> list[bytes]:
    """The bodies of a stored batch, decompressed if its name says so."""
    if name.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            data = stream.read()
    return data.rstrip(b"\n").split(b"\n")


def held_in(folder: Path) -> list[bytes]:
    """The bodies in a file archive, batched or not."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".scribe-tmp" not in path.parts]
    found = []
    for path in files:
        found += lines(path.read_bytes(), path.name) if ".jsonl" in path.name else [path.read_bytes()]
    return found


class GrowingFiles:
    """Scans written to `.jsonl` files in a thread until stopped: each file grows for a while, then the next begins.

    `rate` is in scans a second. Some writes end within a line, which the next one finishes.
    """

    def __init__(self, folder: Path, oracle: Oracle, *, rate: float, seed: int, size: int = 700) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._oracle, self._rate, self._size = folder, oracle, rate, size
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _write(self) -> None:
        number, file = 0, 0
        while not self._stopped.is_set():
            file += 1
            with (self._folder / f"load-{file:05d}.jsonl").open("ab", buffering=0) as stream:
                for _ in range(self._random.randrange(5, 25)):
                    count = self._random.randrange(1, 20)
                    text = b"".join(
                        self._oracle.give(n, self._size) + b"\n" for n in range(number + 1, number + count + 1)
                    )
                    number += count
                    cut = len(text) - self._random.choice([0, 0, 1, 300])
                    stream.write(text[:cut])
                    self._stopped.wait(count / self._rate)
                    stream.write(text[cut:])
                    if self._stopped.is_set():
                        break
