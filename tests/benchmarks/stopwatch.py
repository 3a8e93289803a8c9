"""CPU of the stages of a scan's way, measured from outside: the functions of the stages are wrapped in this process.

A stage that runs within another is not counted in it. Threads are told apart: the loop's, the store's, and all others,
which are the workers and those of the SDKs.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks.names import STAGES

from scribe_connectors.aws import _dynamodb_item
from scribe_export import identify, intake
from scribe_export.archives import codec
from scribe_export.exporter import Exporter
from scribe_export.journal import collect, settle, store
from scribe_export.lane import lane, sending
from scribe_export.routing.router import Router


class Stopwatch:
    """`wrap` functions before an exporter starts, `start` once it is warm, `stop` when it is idle."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], int] = defaultdict(int)
        self._within = threading.local()
        self._started: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._store: int | None = None

    def wrap_all(self) -> None:
        """The stages' functions."""
        self._wrap("decode", identify.Identifier, "identify")
        self._wrap("route", Router, "route")
        self._wrap("route", intake.Intake, "_hand_over")
        self._wrap("journal", store.Store, "_commit")
        self._wrap("seal", lane, "seal")
        self._wrap("seal", lane, "group")
        self._wrap("read back", lane, "fetch_next")
        self._wrap("read back", lane, "_members")
        self._wrap("encode", sending, "fit")
        self._wrap("compress", _dynamodb_item, "compress")
        for name in ("add", "finish"):
            self._wrap("compress", codec.JsonLines, name)
        for name in ("delivered", "partly", "again"):
            self._wrap("settle", settle, name)
        self._wrap("settle", lane, "settlement")
        self._wrap("settle", collect.Collector, "collect")

    def _wrap(self, stage: str, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)
        within, spent = self._within, self._spent

        def timed(*given: Any, **named: Any) -> Any:
            inner_before, within.inner = getattr(within, "inner", 0), 0
            started = time.thread_time_ns()
            try:
                return function(*given, **named)
            finally:
                whole = time.thread_time_ns() - started
                spent[stage, threading.current_thread().name] += whole - within.inner
                within.inner = inner_before + whole

        setattr(owner, name, timed)

    def start(self, exporter: Exporter) -> None:
        """Forget what was spent so far; called in the loop's thread."""
        assert exporter.store._thread.ident is not None
        self._store = time.pthread_getcpuclockid(exporter.store._thread.ident)
        self._spent.clear()
        self._started = self._now()

    def stop(self, scans: int) -> dict[str, float]:
        """CPU microseconds a scan of each stage; together they are what the process took."""
        whole, loop, stored = (now - then for now, then in zip(self._now(), self._started, strict=True))
        found: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        others = whole - loop - stored
        rest = loop + stored
        for (stage, thread), nanoseconds in list(self._spent.items()):
            found[stage] += nanoseconds / 1e9
            if thread in {"MainThread", "store"}:
                rest -= nanoseconds / 1e9
            else:
                others -= nanoseconds / 1e9
        found["sign and send"] += others
        found["event loop and the rest"] += rest
        return {stage: seconds / scans * 1e6 for stage, seconds in found.items()}

    def _now(self) -> tuple[float, float, float]:
        assert self._store is not None
        return time.process_time(), time.thread_time(), time.clock_gettime(self._store)
