"""An exporter that outlives the invocations it serves."""

import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

import anyio
import structlog
from anyio.from_thread import BlockingPortal

from scribe_export.config import Config
from scribe_export.exporter import Exporter
from scribe_export.hosts.events import Events
from scribe_export.tasks import plain_errors

log = structlog.get_logger("scribe_export.hosts")
T = TypeVar("T")
_GRACE = 0.5  # seconds for the work to say itself what is not done
_PATIENCE = 5.0  # seconds for what is in flight when the process ends


class Resident:
    """Opened by its first work, on an event loop in a thread of its own; safe from any thread.

    Between invocations the platform may stop the whole process in its tracks: what goes on then goes on at the next one.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._life: _Life | None = None

    def wait(self, work: Callable[[Events, float], Awaitable[T]], until: float) -> T | None:
        """What the work comes to, which is told how many seconds it has until then (by `time.monotonic`).

        None if that is not known in time, and a little: then it goes on unseen. Raises what opening an exporter raises.
        """
        with self._lock:
            if self._life is None or self._life.over:
                self._life = _Life(self._config)
            life = self._life
        begun = life.portal.start_task_soon(work, life.events, max(until - time.monotonic(), 0.0))
        try:
            return begun.result(max(until - time.monotonic(), 0.0) + _GRACE)
        except TimeoutError:
            if begun.done():
                raise
            return None

    def close(self, patience: float = _PATIENCE) -> None:
        """Let what is in flight settle, for `patience` seconds at most; safe twice, and before any work."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.end(patience)


class _Life:
    """One exporter from its opening to its end, be it asked for or a failure."""

    portal: BlockingPortal
    events: Events

    def __init__(self, config: Config) -> None:
        self._config = config
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="scribe-export", daemon=True)
        self._thread.start()
        self._opened.result()

    @property
    def over(self) -> bool:
        """Whether no more work can be begun."""
        return not self._thread.is_alive() or self.events.failed

    def end(self, patience: float) -> None:
        if self._thread.is_alive():
            self.portal.start_task_soon(self.portal.stop, True)  # noqa: FBT003 - cancel_remaining, by place alone
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            anyio.run(self._live)
        except BaseException as error:  # noqa: BLE001 - told to who waits for it, or there is nobody
            if self._opened.done():
                log.critical("exporter ended", reason=f"{type(error).__name__}: {error}")
            else:
                self._opened.set_exception(error)

    async def _live(self) -> None:
        with plain_errors():
            async with (
                Exporter(self._config, sources=False, buffer="none") as exporter,
                Events(exporter) as events,
                BlockingPortal() as portal,
            ):
                self.events, self.portal = events, portal
                self._opened.set_result(None)
                await portal.sleep_until_stopped()
