"""`health`: does everything that a config names answer, now or all the time."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import click

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, duration, json_option, print_json, print_table
from scribe_export.config import Built, Config
from scribe_export.errors import Throttled
from scribe_export.interface import Connector
from scribe_export.patterns import HealthMonitor


@click.command(short_help="Ask everything in a config whether it is well.")
@config_argument
@click.option("--watch", is_flag=True, help="Go on asking, and tell each change; until stopped.")
@click.option("--interval", default="60s", callback=duration, show_default=True, help="With --watch: how often.")
@click.option("--timeout", default="30s", callback=duration, show_default=True, help="How long an answer may take.")
@json_option
def command(config: Path, *, watch: bool, interval: float, timeout: float, as_json: bool) -> None:
    """Open each source, scanner and destination of CONFIG, all at once, and say which are not well.

    What it asks needs no more rights than the work itself, and a service that asks for less is well. It journals and
    sends nothing. Exit code 1 if something is not well.
    """
    logs.configure("error")
    loaded = configuration.load(config)
    if watch:
        anyio.run(_watch, loaded, interval, timeout, as_json)
        return
    reasons: dict[str, str] = {}
    monitor = _monitor(loaded, timeout, lambda name, _, reason: reasons.__setitem__(name, reason))
    status = anyio.run(monitor.check_all_health)
    rows = [{"name": name, "healthy": healthy, "reason": reasons.get(name, "")} for name, healthy in status.items()]
    if as_json:
        print_json({"config": str(config), "entries": rows})
    else:
        shown = [[row["name"], "yes" if row["healthy"] else "no", row["reason"] or "-"] for row in rows]
        print_table(["name", "healthy", "reason"], shown)
    sys.exit(0 if all(status.values()) else 1)


async def _watch(config: Config, interval: float, timeout: float, as_json: bool) -> None:  # noqa: FBT001, ASYNC109
    def tell(name: str, healthy: bool, reason: str) -> None:  # noqa: FBT001 - the monitor's own order
        if as_json:
            click.echo(json.dumps({"name": name, "healthy": healthy, "reason": reason}))
        else:
            click.echo(f"{name} is well again" if healthy else f"{name} is not well: {printable(reason)}")

    monitor = _monitor(config, timeout, tell)
    first = await monitor.check_all_health()
    if not as_json:
        click.echo(f"{sum(first.values())} of {len(first)} are well; changes follow")
    await anyio.sleep(interval)
    await monitor.monitor_continuously(interval)


def _monitor(config: Config, timeout: float, tell: Callable[[str, bool, str], None]) -> HealthMonitor:
    monitor = HealthMonitor(timeout=timeout, on_change=tell, log=False)
    entries: list[tuple[str, Built[Any]]] = [(f"sources.{name}", built) for name, built in config.sources.items()]
    entries += [("scanner", config.scanner)] if config.scanner else []
    entries += [(f"destinations.{name}", built) for name, built in config.destinations.items()]
    for name, built in entries:
        monitor.register_integration(name, _check(config, built))
    return monitor


def _check(config: Config, built: Built[Any]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        connector: Connector[Any] = built.connector(built.options, config.context(built.name))
        try:
            await connector.open()
        except Throttled:
            return True
        finally:
            with anyio.CancelScope(shield=True):
                await connector.close()
        return True

    return check
