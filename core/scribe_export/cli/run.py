"""`run`: the exporter itself."""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import click
import structlog
from anyio.abc import TaskStatus
from click.core import ParameterSource

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.cli.shared import config_argument, duration, json_option, print_json, print_table
from scribe_export.config import Config
from scribe_export.control import serve
from scribe_export.errors import ConfigError
from scribe_export.exporter import Exporter
from scribe_export.journal.ballast import BALLAST_BYTES
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.folder import StateFolder
from scribe_export.journal.recover import RecoveryReport
from scribe_export.journal.status import JournalStatus, journal_status
from scribe_export.supervision import READY, STOPPING, notify, stay_alive

log = structlog.get_logger()
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class _Ended:
    """`unread` are the sources that were not read to their end, `dead` the scans that only a journal would list."""

    status: JournalStatus
    unread: list[str]
    recovery: RecoveryReport | None
    dead: int


@click.command(short_help="Deliver every scan until stopped.")
@config_argument
@click.option("--until-idle", is_flag=True, help="Deliver what the sources have now, then end.")
@click.option(
    "--max-wait",
    metavar="DURATION",
    default="10m",
    callback=duration,
    show_default=True,
    help="End --until-idle after this.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@json_option
def command(config: Path, *, until_idle: bool, max_wait: float, log_level: str, as_json: bool) -> None:
    """Read CONFIG's sources, and deliver every scan to its destinations, until stopped.

    SIGTERM or SIGINT lets what is in flight settle (at most CONFIG's drain_timeout) and ends with exit code 0; what
    waits is delivered by the next run. With --until-idle it ends by itself, with exit code 1 if a scan is dead or could
    not be delivered, or if a source could not be read to its end.
    """
    source = click.get_current_context().get_parameter_source("max_wait")
    if source is ParameterSource.COMMANDLINE and not until_idle:
        raise click.UsageError("--max-wait belongs to --until-idle; without it, run goes on until it is stopped")
    logs.configure(log_level)
    loaded = configuration.load(config)
    if loaded.buffer == "journal":
        _check_room(loaded)
    elif (loaded.state_folder / FILE_NAME).exists():
        log.warning(
            "journal left alone", folder=str(loaded.state_folder), hint="deliver it by a run without buffer: none"
        )
    ended = anyio.run(_run, loaded, until_idle, max_wait)
    if ended is None:
        sys.stdout.flush()
        # A source's long poll may still wait in a thread, and the interpreter would wait for it.
        os._exit(0)
    status = ended.status
    _report(status, ended.unread, as_json=as_json)
    active = [row for row in status.destinations if row.state == "active"]
    lost = ended.recovery is not None and ended.recovery.lost is None
    sys.exit(
        1
        if lost or ended.dead or ended.unread or status.invalid or any(row.dead or row.pending for row in active)
        else 0
    )


def _check_room(config: Config) -> None:
    """A journal that is there already is delivered from, however full its disk: that is what makes room again."""
    try:
        configuration.check_room(config, ballast=BALLAST_BYTES)
    except ConfigError as error:
        if not (config.state_folder / FILE_NAME).exists():
            raise
        log.warning("disk nearly full", reason=error.problems[0].message)


def exclusive(config: Config) -> bool:
    """Whether there is a state folder that one process has at a time."""
    return config.buffer == "journal" and config.state_folder.is_dir()


async def _run(config: Config, until_idle: bool, max_wait: float) -> _Ended | None:  # noqa: FBT001
    """How a run until idle ended; None if it was stopped."""
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        opened = None
        if config.http:
            from scribe_export.endpoint.serving import serving

            if exclusive(config):
                # A second process is to be told of the first, and not that its port is taken.
                StateFolder(config.state_folder).release()
            opened = await stack.enter_async_context(serving(config, config.http))
        exporter = await stack.enter_async_context(Exporter(config, once=until_idle))
        if opened:
            opened(exporter)
        stopped = False

        async def on_signal(*, task_status: TaskStatus[None]) -> None:
            nonlocal stopped
            with anyio.open_signal_receiver(*_SIGNALS) as signals:
                task_status.started()
                number = await anext(aiter(signals))
            for again in _SIGNALS:
                asyncio.get_running_loop().add_signal_handler(again, os._exit, 0)
            stopped = True
            notify(STOPPING)
            log.info("stopping", signal=signal.Signals(number).name, drain_timeout=config.drain_timeout)
            _end_by(exporter, config.drain_timeout)
            exporter.stop()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            await tasks.start(on_signal)
            if exporter.buffer == "journal":
                tasks.start_soon(serve, exporter)
            log.info(
                "ready",
                pipeline=config.pipeline,
                sources=list(config.sources),
                destinations=list(config.destinations),
                seconds=round(time.monotonic() - started, 3),
            )
            notify(READY)
            tasks.start_soon(stay_alive, exporter.store, exporter.clock)
            if until_idle:
                await exporter.until_idle(max_wait)
                tasks.cancel_scope.cancel()
            else:
                await anyio.sleep_forever()
        if stopped:
            return None
        exporter.stop()
        _end_by(exporter, config.drain_timeout)
        unread = [feed.name for feed in exporter.feeds if not feed.exhausted]
        status = await exporter.store.do(lambda db: journal_status(db.connection, db.clock.now()))
        dead = exporter.concluder.dead if exporter.concluder else 0
        return _Ended(status, unread, exporter.recovery, dead)


def _end_by(exporter: Exporter, seconds: float) -> None:
    """End the process when the drain takes too long: a call that hangs in a thread cannot be cancelled, and all that it
    carries is still in the journal."""

    def end() -> None:
        log.warning("drain timeout, the rest stays in the journal", seconds=seconds)
        exporter.store.stop()
        sys.stdout.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _report(status: JournalStatus, unread: list[str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"name": row.name, "delivered": row.delivered, "pending": row.pending, "dead": row.dead}
        for row in status.destinations
    ]
    if as_json:
        destinations = {row.pop("name"): row for row in rows}
        print_json({"destinations": destinations, "invalid": status.invalid, "unread_sources": unread})
    else:
        print_table(["destination", "delivered", "pending", "dead"], [list(row.values()) for row in rows])
        if status.invalid:
            click.echo(f"{status.invalid} bodies were no scans; see: scribe-export dlq list")
        for name in unread:
            click.echo(f"{name} was not read to its end; the log above says why")
