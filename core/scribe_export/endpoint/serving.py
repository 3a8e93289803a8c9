"""The endpoint beside a run: there before the journal is opened, gone after it is closed."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import SocketListener

from scribe_export.config import Config
from scribe_export.endpoint.address import Address, is_loopback, shown
from scribe_export.endpoint.pages import Pages
from scribe_export.endpoint.reading import Reader
from scribe_export.endpoint.server import Server, listen, places
from scribe_export.errors import ConfigError
from scribe_export.exporter import Exporter
from scribe_export.tasks import plain_errors

log = structlog.get_logger()


@asynccontextmanager
async def serving(config: Config, address: Address) -> AsyncIterator[Callable[[Exporter], None]]:
    """Answer within the block; what it yields is to be called with the exporter once that is ready.

    Raises `ConfigError` if the address cannot be had.
    """
    listeners = await _listening(config, address)
    pages = Pages()
    started = time.time()
    try:
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Server(pages.answer).run, listeners)
                try:
                    yield lambda exporter: pages.opened(exporter, Reader(exporter, tasks, started=started))
                finally:
                    pages.closed()
                    tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            for listener in listeners:
                await listener.aclose()


async def _listening(config: Config, address: Address) -> list[SocketListener]:
    try:
        listeners = await listen(address)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"cannot listen on {address}: {reason}; give another address or port, or leave the option out"
        raise ConfigError([config.problem("http", message)]) from None
    found = places(listeners)
    log.info("http ready", urls=[f"http://{shown(host, port)}/" for host, port in found])
    open_to = [host for host, _ in found if not is_loopback(host)]
    if open_to:
        log.warning(
            "http open to others",
            addresses=open_to,
            hint="it asks nobody who they are: let a firewall or a proxy do so",
        )
    return listeners
