"""The program with a promise broken on purpose: ``python -m support.mutant_main MUTANT COMMAND …``.

``none`` breaks nothing; of several, joined by ``+``, each is broken. Every one knows the source ``spool``.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from support import spool

from scribe_export import clock, feed, intake
from scribe_export.cli import main
from scribe_export.identify import Origin
from scribe_export.interface import Sink
from scribe_export.journal import blobs, database, folder, ingest
from scribe_export.journal.batches import SealedBatch
from scribe_export.lane import lane, measured, sending
from scribe_export.model import Delivery, Encoded


def ack_before_commit() -> None:
    """A source is acknowledged before the journal has its scans."""
    commit = feed.Feed._commit

    async def acked_first(self: feed.Feed, delivery: Delivery, scans: Any, turn: Any) -> Any:
        await delivery.ack()
        return await commit(self, Delivery(delivery.incoming, delivery.checkpoint), scans, turn)

    _replace(feed.Feed, "_commit", acked_first)


def delivered_before_send() -> None:
    """A batch is settled as delivered, and then written."""
    settle = lane.Lane._settle
    unsent: dict[str, Callable[[], Any]] = {}

    async def promise(sink: Sink, encoded: Encoded, *_: Any) -> sending.Delivered:
        unsent[encoded.batch.id] = partial(sink.write, encoded)
        return sending.Delivered("")

    async def settled_first(self: lane.Lane, batch: SealedBatch, outcome: sending.Outcome) -> None:
        await settle(self, batch, outcome)
        await unsent.pop(batch.batch_id)()

    _replace(measured, "write", promise)
    _replace(lane.Lane, "_settle", settled_first)


def cursor_before_rows() -> None:
    """A source's checkpoint is committed before the scans that it passes over."""
    commit = intake.Intake.commit

    async def cursor_first(
        self: intake.Intake,
        scans: Sequence[Any],
        origin: Origin,
        checkpoint: Mapping[str, str | None] | None = None,
        **settings: Any,
    ) -> Any:
        await self._store.do(
            lambda db: ingest.ingest(
                db, [], conflicts=ingest.ConflictMasks(), source=origin.source, checkpoint=checkpoint
            )
        )
        return await commit(self, scans, origin, None, **settings)

    _replace(intake.Intake, "commit", cursor_first)


def synchronous_normal() -> None:
    """A commit returns before the write-ahead log is on the disk."""
    _replace(database, "SYNCHRONOUS", "NORMAL")


def small_log() -> None:
    """The write-ahead log is folded into the file after every few transactions; no promise is broken."""
    _replace(database, "CHECKPOINT_PAGES", 24)


def slow_writes() -> None:
    """Every write takes 200 ms more; no promise is broken."""
    write = sending.write

    async def slow(sink: Sink, encoded: Encoded, *claims: Any) -> sending.Outcome:
        await anyio.sleep(0.2)
        return await write(sink, encoded, *claims)

    _replace(measured, "write", slow)


def odd_clock() -> None:
    """The wall clock is ahead by the seconds in the file that SCRIBE_TEST_CLOCK names; no promise is broken."""
    file = Path(os.environ["SCRIBE_TEST_CLOCK"])
    _replace(clock.SystemClock, "now", lambda _: time.time() + float(file.read_text()))


class _Unsynced:
    """The module `os`, but for one function."""

    def fsync(self, handle: int) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def blob_not_synced() -> None:
    """The file of a large body is named by a row before the disk has it."""
    _replace(blobs, "os", _Unsynced())


def folder_not_synced() -> None:
    """The name of a large body's file is in a row before the disk has it."""
    _replace(blobs, "sync_folder", lambda path: None)


def state_folder_not_synced() -> None:
    """A new state folder is used before the folder above it is on the disk."""
    _replace(folder, "sync_folder", lambda path: None)


def _replace(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more: this mutant breaks nothing"
    setattr(owner, name, value)


MUTANTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "ack_before_commit": ack_before_commit,
    "delivered_before_send": delivered_before_send,
    "cursor_before_rows": cursor_before_rows,
    "synchronous_normal": synchronous_normal,
    "small_log": small_log,
    "slow_writes": slow_writes,
    "odd_clock": odd_clock,
    "blob_not_synced": blob_not_synced,
    "folder_not_synced": folder_not_synced,
    "state_folder_not_synced": state_folder_not_synced,
}

if __name__ == "__main__":
    spool.register()
    for name in sys.argv.pop(1).split("+"):
        MUTANTS[name]()
    main(prog_name="scribe-export")
