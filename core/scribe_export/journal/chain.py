"""The chain of receipts, looked at from its first kept receipt to its last, beside whoever writes it.

It is read a page at a time and not in one transaction, so that a long look keeps no write-ahead log from being emptied.
What `journal.history` forgets meanwhile is told by the place that pruning leaves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scribe_export.journal.database import Database
from scribe_export.journal.receipts import COLUMNS, GENESIS, Link, link, pruned

PAGE = 500
MOST_NAMED = 1000
"""Broken receipts that are named one by one; the others are counted."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A receipt as it is stored, in the columns `COLUMNS`, and the link before it; `anew` if pruning came between."""

    before: Link
    number: int
    row: Sequence[Any]
    hash: Any
    anew: bool = False

    @property
    def holds(self) -> bool:
        """Whether its hash is that of its values and of the receipt before it."""
        try:
            return bool(link(self.before.hash, self.row) == self.hash)
        except TypeError:
            # A value of a kind that no receipt has.
            return False


@dataclass(frozen=True, slots=True)
class Broken:
    """A place where the chain does not hold, and why; `at` in seconds since the epoch, None where no receipt is."""

    number: int
    why: str
    destination: str = ""
    outcome: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """What the receipts are: how many, from when to when, what was pruned before them, and where they end.

    `broken` are the places where they do not hold, the first `MOST_NAMED` of them; `unnamed` counts the others.
    """

    receipts: int
    since: float | None
    until: float | None
    pruned: Link
    head: Link
    broken: tuple[Broken, ...]
    unnamed: int = 0


def linked(db: Database) -> Iterator[Linked]:
    """Every receipt in order, with the one before it."""
    text_factory = db.connection.text_factory
    # What was tampered with may be no text: it is compared, and not refused.
    db.connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield from _linked(db)
    finally:
        db.connection.text_factory = text_factory


def _linked(db: Database) -> Iterator[Linked]:
    before = pruned(db)
    anew = False
    while True:
        rows = db.connection.execute(
            f"SELECT id, {COLUMNS}, hash FROM receipt WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608 - constants
            (before.number, PAGE),
        ).fetchall()
        now = pruned(db)
        if now.number > before.number:
            before, anew = now, True
            continue
        for number, *row, digest in rows:
            yield Linked(before, number, row, digest, anew)
            before = Link(number, digest if isinstance(digest, bytes) else GENESIS)
            anew = False
        if len(rows) < PAGE:
            return


def check_chain(db: Database, head: Link | None = None) -> Chain:
    """Check every receipt, that none is missing, and that `head`, noted earlier, is among them."""
    found = _Found(head)
    start = last = pruned(db)
    count, since, until = 0, None, None
    for one in linked(db):
        if one.anew or not count:
            start = one.before
        found.look(one)
        last = Link(one.number, one.hash if isinstance(one.hash, bytes) else GENESIS)
        at = one.row[-1]
        since, until, count = (at if since is None else since), at, count + 1
    ever = db.connection.execute("SELECT seq FROM sqlite_sequence WHERE name='receipt'").fetchone()
    # One that was written meanwhile is none that is missing.
    if ever and ever[0] > last.number and not _written_after(db, last.number):
        found.add(Broken(last.number + 1, f"{_range(last.number + 1, ever[0])} at the end is missing"))
    found.look_for_head(start, last)
    return Chain(count, since, until, start, last, tuple(found.broken), found.unnamed)


class _Found:
    def __init__(self, head: Link | None) -> None:
        self.broken: list[Broken] = []
        self.unnamed = 0
        self._head, self._met = head, head is None

    def add(self, broken: Broken) -> None:
        if len(self.broken) < MOST_NAMED:
            self.broken.append(broken)
        else:
            self.unnamed += 1

    def look(self, one: Linked) -> None:
        if self._head and one.number == self._head.number:
            self._met = one.hash == self._head.hash
        why = ""
        if one.number > one.before.number + 1:
            why = f"{_range(one.before.number + 1, one.number - 1)} before it is missing"
        elif not one.holds:
            after = f"receipt {one.before.number}" if one.before.number else "the chain's beginning"
            why = f"it was changed, or does not follow {after}"
        if why:
            at = one.row[-1] if isinstance(one.row[-1], float | int) else None
            self.add(Broken(one.number, why, str(one.row[0]), str(one.row[1]), at))

    def look_for_head(self, start: Link, last: Link) -> None:
        head = self._head
        if head is None or self._met or head == start:
            return
        if head.number < start.number:
            why = f"the head cannot be checked: journal.history has forgotten the receipts up to {start.number}"
        elif head.number > last.number:
            why = f"the head is not there: the chain ends at receipt {last.number}"
        else:
            why = "the head is not there: the receipt of that number is another"
        self.add(Broken(head.number, why))


def _written_after(db: Database, number: int) -> bool:
    return db.connection.execute("SELECT 1 FROM receipt WHERE id > ? LIMIT 1", (number,)).fetchone() is not None


def _range(first: int, last: int) -> str:
    return f"receipt {first}" if first == last else f"each of the receipts {first} to {last}"
