"""Metrics of the journal, of scan requests, and of the process."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from scribe_export.endpoint.exposition import Metric, Sample, Value
from scribe_export.endpoint.snapshot import Snapshot

_PROC = Path("/proc/self")


def _one(read: Callable[[Snapshot], Value]) -> Callable[[Snapshot], Iterator[Sample]]:
    return lambda snapshot: iter([((), read(snapshot))])


def _unplaced(snapshot: Snapshot) -> Iterator[Sample]:
    yield from (((kind,), count) for (name, kind), count in sorted(snapshot.journal.buried.items()) if not name)


def _requests(snapshot: Snapshot) -> Iterator[Sample]:
    yield from (((state,), snapshot.journal.requests.get(state, 0)) for state in ("accepted", "started", "reply_owed"))


def _ended(snapshot: Snapshot) -> Iterator[Sample]:
    yield from (((how,), snapshot.journal.ended.get(how, 0)) for how in ("done", "failed"))


def _open_files(_: Snapshot) -> Iterator[Sample]:
    with suppress(OSError):  # only Linux tells
        yield (), sum(1 for _ in (_PROC / "fd").iterdir())


def _resident(_: Snapshot) -> Iterator[Sample]:
    with suppress(OSError):  # only Linux tells
        pages = int((_PROC / "statm").read_text().split()[1])
        yield (), pages * os.sysconf("SC_PAGE_SIZE")


@cache
def release() -> str:
    """Of scribe-export."""
    return version("scribe-export")


def _build(snapshot: Snapshot) -> Iterator[Sample]:
    yield (release(), platform.python_version(), snapshot.pipeline), 1


METRICS = (
    Metric("journal_used_bytes", "gauge", "Bytes that scans and their records take of the quota.",
           (), _one(lambda seen: seen.journal.used)),
    Metric("journal_quota_bytes", "gauge", "Bytes at which sources pause: journal.quota.",
           (), _one(lambda seen: seen.journal.quota)),
    Metric("journal_free_bytes", "gauge", "Bytes within the journal's file that are free to be used again.",
           (), _one(lambda seen: seen.journal.free)),
    Metric("journal_wal_bytes", "gauge", "Bytes of the write-ahead log's file.", (), _one(lambda seen: seen.journal.wal)),
    Metric("journal_held_scans", "gauge",
           "Scans from the oldest whose body is kept to the newest: no more than these are held.",
           (), _one(lambda seen: seen.journal.held)),
    Metric("journal_full", "gauge", "1 if the quota or the disk is used up, and sources pause.",
           (), _one(lambda seen: int(bool(seen.journal.full)))),
    Metric("journal_ballast_released", "gauge", "1 while the disk is too full for the file that keeps room to settle.",
           (), _one(lambda seen: int(not seen.ballast_held))),
    Metric("journal_commit_seconds", "histogram",
           "How long a commit took that changed something, with its sync to the disk. From 0 at a start.",
           (), _one(lambda seen: seen.commits)),
    Metric("journal_read_age_seconds", "gauge",
           "How long ago the figures from the journal were read: more than a moment only where it is slow.",
           (), _one(lambda seen: seen.age)),
    Metric("journal_scans_total", "counter", "Scans ever journalled, and bodies that were none. Kept in the journal.",
           (), _one(lambda seen: seen.journal.scans)),
    Metric("duplicates_total", "counter", "Scans that came before, from all sources. Kept in the journal.",
           (), _one(lambda seen: seen.journal.duplicates)),
    Metric("conflicts_total", "counter",
           "Scans whose id came before with other content, from all sources. Kept in the journal.",
           (), _one(lambda seen: seen.journal.conflicts)),
    Metric("unrouted_scans_total", "counter", "Scans that no rule sent anywhere. Kept in the journal.",
           (), _one(lambda seen: seen.journal.unrouted)),
    Metric("unplaced_dead_letters", "gauge", "Dead letters of no destination: bodies that were no scans, and requests.",
           (), _one(lambda seen: seen.journal.unplaced)),
    Metric("unplaced_dead_lettered_total", "counter", "Such dead letters that were made, by class. From 0 at a start.",
           ("class",), _unplaced),
    Metric("requests", "gauge",
           "Scan requests by state: accepted waits for the scanner, started is being performed, reply_owed is done and "
           "its requester has no confirmed reply.",
           ("state",), _requests),
    Metric("requests_ended_total", "counter", "Scan requests that ended, done or failed. From 0 at a start.",
           ("outcome",), _ended),
    Metric("build_info", "gauge", "Always 1; what runs, and for which pipeline.",
           ("version", "python", "pipeline"), _build),
    Metric("ready", "gauge", "1 if the exporter works, 0 while it stops.", (), _one(lambda seen: int(seen.ready))),
    Metric("process_start_time_seconds", "gauge", "When the exporter was started, in seconds since the epoch.",
           (), _one(lambda seen: seen.started)),
    Metric("process_cpu_seconds_total", "counter", "Processor time used, of all threads.",
           (), _one(lambda _: time.process_time())),
    Metric("process_resident_memory_bytes", "gauge", "Memory in use. On Linux only.", (), _resident),
    Metric("process_open_fds", "gauge", "Open files and sockets. On Linux only.", (), _open_files),
)  # fmt: skip
