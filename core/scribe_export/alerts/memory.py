"""What is kept of alerts over a restart, as one value in the journal."""

from typing import Self

import msgspec

from scribe_export.alerts.event import Event, Key
from scribe_export.alerts.outbox import Outbox
from scribe_export.alerts.tracker import Standing, Tracker
from scribe_export.journal.database import Database

_KEY = "alerts"


class Memory(msgspec.Struct, frozen=True):
    """The alerts that are raised, those that the webhook believes raised, and what waits to be sent to it."""

    standing: list[Standing] = []
    told: list[Key] = []
    waiting: list[Event] = []

    @classmethod
    def of(cls, tracker: Tracker, outbox: Outbox) -> Self:
        """All that is to be kept now."""
        return cls(list(tracker.standing.values()), sorted(outbox.told), outbox.waiting)


def remember(db: Database, memory: Memory) -> None:
    """Keep it, instead of what was kept before."""
    db.connection.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (_KEY, msgspec.json.encode(memory).decode()))


def recall(db: Database) -> Memory:
    """What was kept; nothing if another release kept it in another form."""
    try:
        return msgspec.json.decode(db.meta(_KEY) or "{}", type=Memory)
    except msgspec.ValidationError:
        return Memory()
