"""The program, killed at a named point: ``python -m support.fail_points POINT:N COMMAND …`` dies at the N-th pass.

The points are functions of the program, before or after which SIGKILL strikes; the program itself knows nothing of them.
"""

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from support import spool

from scribe_export import feed, intake
from scribe_export.cli import main
from scribe_export.journal import blobs, collect, database, opening, receipts, recover, schema, settle, store
from scribe_export.lane import lane, measured
from scribe_export.operations import letters


@dataclass(frozen=True, slots=True)
class Point:
    """`owner` is a class, a module or a table of functions; `setting` is what the test has to set up for it."""

    owner: Any
    name: Any
    when: Literal["before", "after"]
    number: int = 3
    setting: Literal["load", "collecting", "replay", "migration", "recovery"] = "load"


POINTS: Mapping[str, Point] = {
    "read": Point(intake.Intake, "prepare", "after"),
    "before a large body's file": Point(blobs.Blobs, "write", "before", 1),
    "a large body's name not synced": Point(blobs, "sync_folder", "before", 2),
    "after a large body's file": Point(blobs.Blobs, "write", "after", 2),
    "before the insert": Point(intake, "ingest", "before"),
    "after the insert": Point(intake, "ingest", "after"),
    "before a commit": Point(database.Database, "commit", "before", 9),
    "after a commit": Point(database.Database, "commit", "after", 9),
    "committed, nobody told": Point(store.Store, "_report", "before", 9),
    "before the hand-over to the lanes": Point(intake.Intake, "_hand_over", "before"),
    "before the ack": Point(intake.Intake, "commit", "after"),
    "after the ack": Point(feed.Feed, "_commit", "after"),
    "before the sealing": Point(lane, "seal", "before"),
    "after the sealing": Point(lane, "seal", "after"),
    "sealed and committed": Point(lane.Lane, "_seal", "after"),
    "before the encoding": Point(lane, "encode", "before"),
    "before the write": Point(measured, "write", "before"),
    "after the write": Point(measured, "write", "after"),
    "before the settling": Point(lane.Lane, "_settle", "before"),
    "in the settling": Point(settle, "delivered", "after"),
    "after the receipt": Point(receipts, "_append", "after"),
    "after the settling": Point(lane.Lane, "_settle", "after"),
    "before the collecting": Point(collect, "remove_bodies", "before", 1, "collecting"),
    "in the collecting": Point(collect, "_remove_range", "after", 1, "collecting"),
    "before a file is removed": Point(blobs.Blobs, "remove", "before", 1, "collecting"),
    "after a file is removed": Point(blobs.Blobs, "remove", "after", 1, "collecting"),
    "before the journal is closed": Point(database.Database, "close", "before", 1),
    "in a replay": Point(letters, "replay_exceptions", "after", 1, "replay"),
    "after a replay": Point(letters, "_replay_there", "after", 1, "replay"),
    "in a migration": Point(schema.MIGRATIONS, schema.SCHEMA_VERSION - 1, "after", 1, "migration"),
    "after a migration": Point(database.Database, "_migrate", "after", 1, "migration"),
    "the damaged journal set aside": Point(opening, "set_aside", "after", 1, "recovery"),
    "in a recovery": Point(recover, "_dead_letter_unaccounted", "after", 1, "recovery"),
    "after a recovery": Point(opening, "recovered", "before", 1, "recovery"),
}


def arm(point: Point, number: int) -> None:
    """Have this process killed at the `number`-th pass of a point."""
    table = isinstance(point.owner, MutableMapping)
    function = point.owner[point.name] if table else getattr(point.owner, point.name)
    wrapped = _killing(function, point.when, number)
    if table:
        point.owner[point.name] = wrapped
    else:
        setattr(point.owner, point.name, wrapped)


def _killing(function: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    passes = count(1)

    def passed(moment: str) -> None:
        if moment == when and next(passes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*arguments: Any, **options: Any) -> Any:
            passed("before")
            result = await function(*arguments, **options)
            passed("after")
            return result

        return asynchronous

    @functools.wraps(function)
    def plain(*arguments: Any, **options: Any) -> Any:
        passed("before")
        result = function(*arguments, **options)
        passed("after")
        return result

    return plain


if __name__ == "__main__":
    spool.register()
    name, _, passes = sys.argv.pop(1).rpartition(":")
    if name:
        arm(POINTS[name], int(passes))
    main(prog_name="scribe-export")
