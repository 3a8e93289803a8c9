"""Which scans were handed over, remembered over restarts in bounded room."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from scribe_connectors.scribe._endpoints import ScanId
from scribe_connectors.scribe._listed import Entry
from scribe_export.interface import Checkpoint

_MARK = 16
"""Characters of a scan's mark."""
_SLOT = 100
"""Marks in one slot: what a delivery has to write again is at most this and its own."""


def mark(entry: Entry) -> str:
    """A scan's short identity, of its id and its time: ids that a server gives anew after a reset are other scans."""
    digest = blake2b(f"{entry.scan_id}\0".encode("utf-8", "surrogatepass"), digest_size=_MARK * 6 // 8)
    digest.update(bytes(entry.timestamp))
    return urlsafe_b64encode(digest.digest()).decode("ascii")


class _Head(msgspec.Struct):
    slot: int
    postponed: dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Note:
    """What a delivery adds; `checkpoint` is to be committed with it, then it is to be handed to `Seen.apply`."""

    slots: Mapping[int, str]
    head: int
    checkpoint: Mapping[str, str | None]


class Seen:
    """The marks of at least the last `capacity` scans, in a ring of slots, each under a checkpoint key of its own.

    `started` says whether anything was ever committed; `postponed` are the scans passed over at the last commit, by mark.
    """

    def __init__(self, capacity: int) -> None:
        self._size = -(-capacity // _SLOT) + 2
        self._ring: dict[int, str] = {}
        self._marks: set[str] = set()
        self._head = 0
        self.started = False
        self.postponed: dict[str, ScanId] = {}

    async def load(self, checkpoint: Checkpoint) -> "Seen":
        """Take up what was committed."""
        head = (await checkpoint.get(["head"])).get("head")
        if head is None:
            return self
        found = msgspec.json.decode(head, type=_Head)
        self._head, self.postponed, self.started = found.slot % self._size, found.postponed, True
        slots = await checkpoint.get([f"slot:{number}" for number in range(self._size)])
        for key, text in slots.items():
            self._put(int(key.removeprefix("slot:")), text)
        return self

    def __contains__(self, marked: str) -> bool:
        return marked in self._marks

    def note(self, marks: Iterable[str], postponed: Mapping[str, ScanId]) -> Note:
        """What to commit so that these are seen and those are not forgotten; changes nothing yet."""
        number, text, slots = self._head, self._ring.get(self._head, ""), dict[int, str]()
        for marked in marks:
            if len(text) >= _SLOT * _MARK:
                slots[number] = text
                number, text = (number + 1) % self._size, ""
            text += marked
        slots[number] = text
        head: dict[str, Any] = {"slot": number, "postponed": dict(postponed)}
        written = {f"slot:{slot}": marks_there for slot, marks_there in slots.items()}
        return Note(slots, number, {**written, "head": msgspec.json.encode(head).decode()})

    def apply(self, note: Note) -> None:
        """It was committed."""
        for number, text in note.slots.items():
            self._put(number, text)
        self._head, self.started = note.head, True

    def _put(self, number: int, text: str) -> None:
        self._marks -= _split(self._ring.get(number, ""))
        self._marks |= _split(text)
        self._ring[number] = text


def _split(text: str) -> set[str]:
    return {text[start : start + _MARK] for start in range(0, len(text), _MARK)}
