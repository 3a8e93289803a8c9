"""How far a database was read, told so that one put back to an older state is noticed."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

BEFORE_ALL = -(2**63)
"""Below every id that SQLite has."""


def mark(*columns: bytes) -> str:
    """What tells a row from any other that may come to have its id."""
    digest = blake2b(digest_size=12)
    for column in columns:
        digest.update(b"%d:" % len(column))
        digest.update(column)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Waymarks:
    """Rows that were taken, by id and mark, oldest first: the last, and ever fewer of those before it.

    The distance from one to the last is at most twice that of the next one, or it follows directly what was taken
    before. So if the last rows are gone or others, little more than as many before them has to be read again.
    """

    rows: tuple[tuple[int, str], ...] = ()

    @property
    def last(self) -> int:
        """The id that everything was taken up to."""
        return self.rows[-1][0] if self.rows else BEFORE_ALL

    def beyond(self, row: int, marked: str) -> "Waymarks":
        """These, with the row that was taken last now."""
        kept: list[tuple[int, str]] = []
        for entry in (*self.rows, (row, marked)):
            while len(kept) > 1 and row - kept[-2][0] <= 2 * (row - entry[0]):
                kept.pop()
            kept.append(entry)
        return Waymarks(tuple(kept))

    def still_there(self, marked: Callable[[int], str | None]) -> "Waymarks":
        """These up to the newest whose row still has its mark."""
        rows = list(self.rows)
        while rows and marked(rows[-1][0]) != rows[-1][1]:
            rows.pop()
        return self if len(rows) == len(self.rows) else Waymarks(tuple(rows))

    def encode(self) -> str:
        """As text for a checkpoint."""
        return msgspec.json.encode({"rows": self.rows}).decode()

    @classmethod
    def decode(cls, text: str) -> "Waymarks":
        """From what `encode` gave."""
        return cls(_decoder.decode(text)["rows"])


_decoder = msgspec.json.Decoder(dict[str, tuple[tuple[int, str], ...]])
