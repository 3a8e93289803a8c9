"""Answers requests, a bounded number at once, and is a burden to nobody else, whatever comes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

import anyio
import structlog
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup

from scribe_export.endpoint.address import Address
from scribe_export.endpoint.wire import Answer, Refused, Request, encoded, read_request

log = structlog.get_logger()
MAX_CONNECTIONS = 32
"""Served at once; more wait in the system's queue, of as many."""
READ_SECONDS = 5.0
"""Within which a request has to be there."""
WRITE_SECONDS = 10.0
"""Within which its answer has to be taken."""
_LINGER_SECONDS = 1.0
_PAUSE = 1.0
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

Page = Callable[[Request], Awaitable[Answer]]


async def listen(address: Address) -> list[SocketListener]:
    """Take the address; raises OSError if it cannot be had. A name may stand for several."""
    multiple = await anyio.create_tcp_listener(
        local_host=address.host, local_port=address.port, backlog=MAX_CONNECTIONS
    )
    return list(multiple.listeners)  # type: ignore[arg-type]  # those of sockets, as the function that made them says


def places(listeners: list[SocketListener]) -> list[tuple[str, int]]:
    """Where they listen in fact: address and port of each."""
    found = [listener.extra(SocketAttribute.local_address) for listener in listeners]  # noqa: S610 - anyio's, not Django's
    return [(str(address[0]), int(address[1])) for address in found]


class Server:
    """`page` answers a request; what it raises is logged, and answered with 500."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._places = anyio.Semaphore(MAX_CONNECTIONS)

    async def run(self, listeners: list[SocketListener]) -> None:
        """Answer until cancelled."""
        async with anyio.create_task_group() as tasks:
            for listener in listeners:
                tasks.start_soon(self._accept, listener, tasks)

    async def _accept(self, listener: SocketListener, tasks: TaskGroup) -> None:
        failing = False
        while True:
            await self._places.acquire()
            try:
                stream = await listener.accept()
                failing = False
            except OSError as error:
                # Such as one file too many: others may close theirs.
                self._places.release()
                if not failing:
                    log.warning("http held", reason=error.strerror or str(error))
                failing = True
                await anyio.sleep(_PAUSE)
                continue
            tasks.start_soon(self._serve, stream)

    async def _serve(self, stream: SocketStream) -> None:
        try:
            with suppress(*_GONE):
                async with stream:
                    await self._converse(stream)
        except Exception:  # one connection, whatever came over it, must not end the server or the exporter
            log.exception("http failed")
        finally:
            self._places.release()

    async def _converse(self, stream: SocketStream) -> None:
        request: Request | None = None
        try:
            with anyio.fail_after(READ_SECONDS):
                request = await read_request(stream)
            answer = await self._answered(request)
        except Refused as refused:
            answer = refused.answer
        except TimeoutError:
            answer = Refused(HTTPStatus.REQUEST_TIMEOUT).answer
        with anyio.move_on_after(WRITE_SECONDS):
            await stream.send(encoded(answer, head_only=request is not None and request.method == "HEAD"))
            await stream.send_eof()
            # A connection that is closed with something unread is reset, and its answer lost with it.
            with anyio.move_on_after(_LINGER_SECONDS):
                while True:
                    await stream.receive()

    async def _answered(self, request: Request) -> Answer:
        try:
            return await self._page(request)
        except Refused:
            raise
        except Exception:  # a bug in a page is its reader's 500, and stops nothing else
            log.exception("page failed", path=request.path[:100])
            return Refused(HTTPStatus.INTERNAL_SERVER_ERROR).answer
