"""One stored archive, and what is read of it at once."""

from dataclasses import dataclass

from scribe_export.archives.reading import Position
from scribe_export.model import Incoming


@dataclass(frozen=True, slots=True)
class Archive:
    """One stored archive: `key` names it in the checkpoint, `name` in messages; `version` changes with its content.

    `grows`: a new version may be the old one with lines appended.
    """

    key: str
    name: str
    version: str
    size: int
    grows: bool = False


class Unreadable(Exception):
    """This archive cannot be read, though others may; the message says why."""


class Gone(Exception):
    """This archive is no longer there, or no longer in this version."""


@dataclass(slots=True)
class Piece:
    """Some of an archive's scans, and how far it is taken with them."""

    archive: Archive
    incoming: list[Incoming]
    position: Position

    @property
    def size(self) -> int:
        return sum(len(one.body) for one in self.incoming)
