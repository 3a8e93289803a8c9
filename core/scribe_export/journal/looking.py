"""Looking into a journal from any process, while its owner works: dead letters, bodies, and one scan's way."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from scribe_export.config import Config
from scribe_export.errors import JournalError
from scribe_export.journal.batches import SealedBatch, batches, members_of
from scribe_export.journal.bodies import fetch_members, read_body
from scribe_export.journal.database import FILE_NAME, Database, meta_of
from scribe_export.journal.dead import DeadLetter, Selection, dead_letters
from scribe_export.journal.destinations import masks
from scribe_export.journal.receipts import FORGOTTEN, Receipt, receipts
from scribe_export.journal.status import open_read_only
from scribe_export.routing.router import Router


class ReadOnly:
    """As much of a `Database` as reading takes."""

    def __init__(self, folder: Path) -> None:
        self.connection = open_read_only(folder / FILE_NAME)
        self.folder = folder

    def meta(self, key: str) -> str:
        """As `Database.meta`."""
        return meta_of(self.connection, key)

    class _Blobs:
        def __init__(self, folder: Path) -> None:
            self._folder = folder / "blobs"

        def read(self, name: str) -> bytes:
            return (self._folder / name).read_bytes()

    @property
    def blobs(self) -> "ReadOnly._Blobs":
        """The files of large bodies."""
        return self._Blobs(self.folder)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a scan at one destination."""

    destination: str
    state: str
    when: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One version of a scan, and its steps; times are ISO 8601 in UTC."""

    scan_id: str
    version: int
    seq: int
    sha256: str
    size: int
    source: str
    journalled: str
    steps: tuple[Step, ...]


def dead_letters_at(folder: Path, selection: Selection) -> list[DeadLetter]:
    """The dead letters of a state folder; raises `JournalError`."""
    with reading(folder) as db:
        return list(dead_letters(db, selection))


def stored_body(folder: Path, seq: int) -> bytes | None:
    """A scan's raw bytes, if they are still in the journal."""
    with reading(folder) as db:
        return read_body(db, seq)


def trace_at(config: Config, scan_id: str) -> list[Trace]:
    """The versions of a scan that the journal remembers."""
    with reading(config.state_folder) as db:
        rows = db.connection.execute(
            "SELECT seq, version, sha256, size, source, at, routes FROM scan WHERE scan_id=? ORDER BY version",
            (scan_id,),
        ).fetchall()
        return [
            Trace(scan_id, version, seq, sha256.hex(), size, source, moment(at), tuple(_steps(db, config, seq, routes)))
            for seq, version, sha256, size, source, at, routes in rows
        ]


@contextmanager
def reading(folder: Path) -> Iterator[Database]:
    """A journal that can only be looked at; raises `JournalError` if there is none, or if it cannot be read."""
    view = ReadOnly(folder)
    try:
        yield cast("Database", view)
    except BrokenPipeError:
        raise  # whoever reads what is printed of it has seen enough
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"{folder}: the journal cannot be read: {error}") from error
    finally:
        view.connection.close()


def moment(at: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _steps(db: Database, config: Config, seq: int, routes: int) -> Iterator[Step]:
    written = [receipt for receipt in receipts(db, seq) if receipt.covers(seq)]
    explained = _explained(db, config, seq)
    forgotten = [receipt for receipt in written if receipt.outcome == FORGOTTEN]
    found = db.connection.execute("SELECT id, name, sealed_seq FROM destination ORDER BY id").fetchall()
    bits = masks(db)
    for number, name, sealed_seq in found:
        dead = db.connection.execute(
            "SELECT class, error, at FROM delivery WHERE destination=? AND seq=?", (number, seq)
        ).fetchone()
        routed = bool(routes >> number & 1)
        ever = routes & bits.pop(name)
        mine = [receipt for receipt in written if receipt.destination == name and (ever or receipt.members)]
        for receipt in mine:
            yield Step(name, receipt.outcome, moment(receipt.at), _told(receipt))
        if dead:
            yield Step(name, "dead", moment(dead[2]), f"{dead[0]}: {dead[1]}")
            continue
        batch = _holding(db, number, seq, routed=routed)
        if batch is not None:
            yield _held(name, batch)
        elif routed and seq > sealed_seq:
            yield Step(name, "waiting")
        elif not routed and not mine and not forgotten:
            yield Step(name, "not routed", detail=explained.get(name, ""))
    for name, mask in sorted(bits.items()):
        for receipt in written:
            if receipt.destination == name and (routes & mask or receipt.members):
                yield Step(name, receipt.outcome, moment(receipt.at), _told(receipt))
    for receipt in forgotten:
        yield Step("journal", receipt.outcome, moment(receipt.at), receipt.answer)


def _told(receipt: Receipt) -> str:
    if not receipt.batch_id:
        return receipt.answer
    named = f"as {receipt.name}" if receipt.name else f"in batch {receipt.batch_id}"
    return f"{named}, answer {receipt.answer}" if receipt.answer else named


def _held(name: str, batch: SealedBatch) -> Step:
    if batch.state == "dead":
        return Step(name, "dead", moment(batch.at), f"{batch.kind}: {batch.error}")
    tried = f"{batch.attempts} attempts, last {batch.kind}: {batch.error}" if batch.kind else "sealed"
    return Step(name, "waiting", detail=tried)


def _holding(db: Database, destination: int, seq: int, *, routed: bool) -> SealedBatch | None:
    """A replay may hold a scan that was not routed there; a range holds only what was."""
    for state in ("open", "dead"):
        for batch in batches(db, destination, state):
            inside = batch.first_seq <= seq <= batch.last_seq
            if inside and (
                (routed and not batch.explicit) or any(member.seq == seq for member in members_of(db, batch))
            ):
                return batch
    return None


def _explained(db: Database, config: Config, seq: int) -> dict[str, str]:
    """Why today's rules send it where they do, while the body is still here."""
    try:
        fetched = fetch_members(db, [seq], assume=config.assume_timezone)
    except sqlite3.Error:
        return {}
    if not fetched.records or config.rules is None:
        return {}
    router = Router({name: number for number, name in enumerate(config.destinations)}, config.rules)
    return router.explain(fetched.records[0])
