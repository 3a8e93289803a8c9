"""A look at the whole journal in one short command, by its one connection: no query goes through all that waits."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from scribe_export.journal.database import PAGE_SIZE, Database
from scribe_export.journal.dead import dead_counts
from scribe_export.journal.ingest import NO_DESTINATION, last_seq
from scribe_export.journal.oldest import Oldest
from scribe_export.journal.status import last_error
from scribe_export.journal.unsealed import Unsealed, Waiting

_SEALED = "SELECT destination, sum(count), sum(size) FROM batch WHERE state='open' GROUP BY destination"
_HELD = "SELECT (SELECT min(seq) FROM body), (SELECT max(seq) FROM body)"
_OPEN_REQUESTS = (
    "SELECT iif(state IN ('accepted', 'started'), state, 'reply_owed'), count(*) FROM request"
    " WHERE owed=1 OR state IN ('accepted', 'started') GROUP BY 1"
)


@dataclass(frozen=True, slots=True)
class DestinationGlance:
    """Of one destination, also of one that left the config. `waiting` scans and `size` bytes are neither delivered nor
    dead; both are 0 if `counted` says that nobody wanted them. `oldest` is the age of the one that waits longest, None
    if none does. `breaker` is what a restart would take up."""

    id: int
    name: str
    state: str
    delivered: int
    delivered_bytes: int
    dead: int
    waiting: int
    size: int
    oldest: float | None
    breaker: Mapping[str, Any]
    paused: bool
    last_error: str


@dataclass(frozen=True, slots=True)
class JournalGlance:
    """Sizes are bytes. `held` are the scans from the oldest whose body is kept to the newest. `scans`, `duplicates`,
    `conflicts` and `unrouted` count from the journal's beginning, `buried` and `ended` from the process's."""

    destinations: tuple[DestinationGlance, ...]
    unplaced: int
    used: int
    quota: int
    free: int
    wal: int
    held: int
    full: str
    scans: int
    duplicates: int
    conflicts: int
    unrouted: int
    requests: Mapping[str, int]
    ended: Mapping[str, int]
    refused: Mapping[str, int]
    buried: Mapping[tuple[str, str], int]


class Glancer:
    """Remembers what it passed over, so that a look goes over it once."""

    def __init__(self) -> None:
        self._oldest, self._unsealed = Oldest(), Unsealed()

    def look(self, db: Database, counted: Collection[int] = ()) -> JournalGlance | None:
        """As it is now, or None if there is more to pass over first: then look again.

        `counted` are the destinations of which somebody else knows how much waits.
        """
        run = db.connection.execute
        rows = run(
            "SELECT id, name, state, sealed_seq, delivered, delivered_bytes, breaker, paused FROM destination ORDER BY id"
        ).fetchall()
        if not self._unsealed.counted(db, {row[0]: row[3] for row in rows if row[0] not in counted}):
            return None
        if not all(self._oldest.found(db, row[0]) for row in rows):
            return None
        dead = dead_counts(db) if db.folder else {}  # in memory they are on their way to where they are kept
        sealed = {destination: (count, size) for destination, count, size in run(_SEALED)}
        found = []
        for number, name, state, _, delivered, size, breaker, paused in rows:
            waiting = self._unsealed.waiting[number] if number not in counted else Waiting(0, 0)
            in_batches = sealed.get(number, (0, 0)) if number not in counted else (0, 0)
            kept = json.loads(breaker)
            found.append(
                DestinationGlance(
                    id=number,
                    name=name,
                    state=state,
                    delivered=delivered,
                    delivered_bytes=size,
                    dead=dead.get(number, 0),
                    waiting=waiting.count + in_batches[0],
                    size=waiting.size + in_batches[1],
                    oldest=self._oldest.age(db, number),
                    breaker=kept,
                    paused=bool(paused),
                    last_error=last_error(db.connection, number, kept),
                )
            )
        names = {row.id: row.name for row in found} | {NO_DESTINATION: ""}
        meta = dict(run("SELECT key, value FROM meta WHERE key IN ('duplicates', 'conflicts', 'unrouted')").fetchall())
        first, last = run(_HELD).fetchone()
        return JournalGlance(
            destinations=tuple(found),
            unplaced=dead.get(NO_DESTINATION, 0),
            used=db.used(),
            quota=db.quota,
            free=run("PRAGMA freelist_count").fetchone()[0] * PAGE_SIZE,
            wal=_wal_bytes(db),
            held=0 if first is None else last - first + 1,
            full=db.full(),
            scans=last_seq(db),
            duplicates=int(meta.get("duplicates", 0)),
            conflicts=int(meta.get("conflicts", 0)),
            unrouted=int(meta.get("unrouted", 0)),
            requests=dict(run(_OPEN_REQUESTS).fetchall()),
            ended=dict(db.tally.requests),
            refused=dict(db.tally.refused),
            buried={(names[number], kind): count for (number, kind), count in db.tally.dead.items() if number in names},
        )


def _wal_bytes(db: Database) -> int:
    try:
        return db.path.with_name(f"{db.path.name}-wal").stat().st_size if db.folder else 0
    except OSError:
        return 0
