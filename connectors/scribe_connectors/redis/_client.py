"""A Redis server: how it is reached, and commands sent to it in one round trip."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import anyio
from pydantic import AfterValidator, model_validator
from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from scribe_connectors.redis._errors import classify, is_elsewhere
from scribe_export.errors import Misconfigured, SinkError, Transient
from scribe_export.options import Options, SecretText, check_url

CONNECT_TIMEOUT = 10.0
_DEFAULT_PORT = 6379
_MAX_CONNECTIONS = 1024

Command = Sequence[str | bytes | int]


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ValueError("must be a redis:// or rediss:// (with TLS) URL with a host, like redis://localhost:6379/0")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; use the options username and password")
    if parts.query or parts.fragment or not (parts.path in {"", "/"} or parts.path[1:].isdecimal()):
        raise ValueError("after the host may come only the database's number, like redis://localhost:6379/0")
    check_url(value.replace("redis", "http", 1))
    return value.rstrip("/")


class TlsOptions(Options):
    ca_file: str | None = None
    """Certificates to trust, in PEM; the system's own if left out. Relative to the config's folder."""
    cert_file: str | None = None
    """This client's own certificate, in PEM, for a server that asks for one. Relative to the config's folder."""
    key_file: str | None = None
    """Its key, in PEM, if not in the same file."""

    @model_validator(mode="after")
    def _check(self) -> "TlsOptions":
        if self.key_file and not self.cert_file:
            raise ValueError("key_file belongs to a cert_file")
        return self


class RedisOptions(Options):
    """Which server, and who to be there; may stand under a connection with ``provider: redis``."""

    provider: ClassVar[str | None] = "redis"
    url: Annotated[str, AfterValidator(_check_url)]
    """Such as redis://localhost:6379/0, or rediss://… with TLS; the number is the database's."""
    username: str | None = None
    """A user of the server's access control list; `default` if left out."""
    password: SecretText | None = None
    """The user's."""
    tls: TlsOptions = TlsOptions()
    """Whom to trust, with rediss://."""

    @model_validator(mode="after")
    def _check_connection(self) -> "RedisOptions":
        if self.username and self.password is None:
            raise ValueError("username needs a password")
        if self.tls != TlsOptions() and not self.url.startswith("rediss://"):
            raise ValueError("tls needs a URL that begins with rediss://")
        return self


@dataclass(slots=True)
class Replies:
    """One reply a command, in order; an error reply is an exception among them. `broken` says why some are missing."""

    answers: list[Any] = field(default_factory=list)
    broken: SinkError | None = None


class RedisClient:
    """Connections of redis-py, and pipelines over them; nothing is sent twice.

    `timeout` bounds each exchange, in seconds. https://redis.io/docs/latest/develop/using-commands/pipelining/
    """

    def __init__(self, options: RedisOptions, *, folder: Path, timeout: float) -> None:
        self._timeout = timeout
        self._closed = False
        parts = urlsplit(options.url)
        settings: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or _DEFAULT_PORT,
            "db": int(parts.path.strip("/") or 0),
            "username": options.username,
            "password": options.password.reveal() if options.password else None,
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, CONNECT_TIMEOUT),
            # The lane retries; a second layer below it would send what may have been applied, and hide failures.
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
            "protocol": 2,
            "driver_info": None,
        }
        self._files = [folder / name for name in options.tls.model_dump().values() if name]
        if parts.scheme == "rediss":
            settings["connection_class"] = SSLConnection
            settings["ssl_check_hostname"] = True
            for name, value in options.tls.model_dump().items():
                settings[_TLS_NAMES[name]] = str(folder / value) if value else None
        self._pool = ConnectionPool(max_connections=_MAX_CONNECTIONS, **settings)
        self._packer = Connection()
        self.target = f"{parts.scheme}://{parts.hostname}:{settings['port']}/{settings['db']}"

    async def open(self) -> None:
        """Reach the server, or say why not. Raises `Misconfigured` or `Transient`."""
        self._closed = False
        for file in self._files:
            if not await anyio.Path(file).is_file():
                raise Misconfigured(f"{file} is not there")
        try:
            await self.call("PING")
        except Misconfigured as error:
            # Who may write need not have the right to ping.
            if not str(error).startswith("NOPERM"):
                raise

    async def close(self) -> None:
        """Close the connections, those in use as soon as their exchange ends; safe twice."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._pool.disconnect(inuse_connections=False)

    def pack(self, commands: Sequence[Command]) -> tuple[bytes, ...]:
        """Commands as they go over the wire; makes no connection."""
        return tuple(self._packer.pack_commands(commands))

    async def call(self, *command: str | bytes | int) -> Any:
        """One command's reply. Raises a `SinkError`."""
        return (await self.pipeline([command]))[0]

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """One reply a command; raises a `SinkError` if any failed."""
        if not commands:
            return []
        replies = await self.exchange(self.pack(commands), len(commands))
        for answer in replies.answers:
            raise_if_error(answer)
        if replies.broken:
            raise replies.broken
        return replies.answers

    async def exchange(self, packed: Sequence[bytes], count: int) -> Replies:
        """Send commands and read their replies, as far as they come. Raises a `SinkError` if nothing was sent."""
        replies = Replies()
        connection = None
        with anyio.move_on_after(self._timeout) as limit:
            connection = await self._connected()
            try:
                await connection.send_packed_command(packed, check_health=False)
                while len(replies.answers) < count:
                    replies.answers.append(await _reply(connection))
            except Exception as error:
                replies.broken = classify(error)
                if replies.broken is None:
                    raise
            finally:
                with anyio.CancelScope(shield=True):
                    if self._closed or len(replies.answers) < count or any(map(_says_elsewhere, replies.answers)):
                        await connection.disconnect(nowait=True)
                    await self._pool.release(connection)
        if limit.cancelled_caught:
            what = f"no answer within {self._timeout:g} s"
            if connection is None:
                raise Transient(what, applied="no")
            replies.broken = Transient(what)
        return replies

    async def _connected(self) -> Any:
        if self._closed:
            raise Transient("the connection is closed", applied="no")
        try:
            return await self._pool.get_connection()  # type: ignore[no-untyped-call]
        except Exception as error:
            known = classify(error, connecting=True)
            if known is None:
                raise
            raise known from error


_TLS_NAMES = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}


def raise_if_error(answer: Any) -> None:
    """Raise an error reply in the framework's terms."""
    if isinstance(answer, Exception):
        raise classify(answer) or answer


async def _reply(connection: Any) -> Any:
    try:
        # The exchange as a whole has a limit; one a reply costs more than the reply.
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


def _says_elsewhere(answer: Any) -> bool:
    return isinstance(answer, Exception) and is_elsewhere(answer)
