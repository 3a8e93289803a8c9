"""How a connector reaches a gRPC service of Google Cloud, or one that speaks its protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import grpc
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.grpc import AuthMetadataPlugin

from scribe_connectors.gcp._client import (
    GcpOptions,
    Shared,
    ca_path,
    environment_project,
    identity_of,
    needed_project,
    token_request,
)
from scribe_connectors.gcp._credentials import Identity
from scribe_connectors.gcp._rpc_errors import speaks_of_credentials
from scribe_connectors.gcp._rpc_rehearsal import RpcRehearsal

T = TypeVar("T")

# https://grpc.io/docs/guides/keepalive/; Google's servers close on pings that come more often than every 30 s.
_KEEPALIVE_MS = 60_000
_KEEPALIVE_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class Rpc:
    """What a gRPC client is made of: give `channel` to a generated transport or make stubs from it.

    Every call needs a timeout of its own.
    """

    channel: grpc.Channel
    credentials: Credentials
    project: str | None

    def need_project(self) -> str:
        """The project; raises `Misconfigured` if nobody names one."""
        return needed_project(self.project)


class RpcClient(Generic[T]):
    """A client of one gRPC API, which `make` makes of its parts; use it as `Shared`.

    An ``http://`` endpoint is spoken to without encryption and without credentials.
    """

    def __init__(
        self, host: str, options: GcpOptions, make: Callable[[Rpc], T], *, folder: Path, max_message: int = -1
    ) -> None:
        """`host` is Google's own, such as ``pubsub.googleapis.com``; `max_message` in bytes, -1 for no limit."""
        self._host, self._options, self._folder = host, options, folder
        self._max_message = max_message
        self._rehearsal: RpcRehearsal | None = None
        self._rpc: Rpc | None = None
        self._shared = Shared(lambda: make(self._parts()), lambda _: self._close(), speaks_of_credentials)
        self.get, self.failed, self.close = self._shared.get, self._shared.failed, self._shared.close

    @property
    def target(self) -> str:
        """The server's host and port."""
        parts = urlsplit(self._options.endpoint_url or f"https://{self._host}")
        return f"{parts.hostname}:{parts.port or (80 if parts.scheme == 'http' else 443)}"

    def rehearse(self, answer: Callable[[str, Any], Any]) -> RpcRehearsal:
        """From now on nothing is sent: messages are kept, and `answer(method, message)` gives the replies."""
        self._rehearsal = RpcRehearsal(self.target, answer)
        return self._rehearsal

    def _parts(self) -> Rpc:
        if self._rehearsal:
            identity = Identity(AnonymousCredentials(), self._options.project or environment_project())
            channel: grpc.Channel = self._rehearsal
        else:
            tokens = token_request(self._options, self._folder)
            identity = identity_of(self._options, self._folder, tokens)
            channel = self._channel(identity, tokens)
        self._rpc = Rpc(channel, identity.credentials, identity.project)
        return self._rpc

    def _channel(self, identity: Identity, tokens: Any) -> grpc.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self._max_message),
            ("grpc.max_receive_message_length", self._max_message),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
            # The lane retries; a second layer below it would hide failures from its breaker.
            ("grpc.enable_retries", 0),
            ("grpc.primary_user_agent", "scribe-export"),
            # Two clients of one process do not share connections: each is closed by its own.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self._options.proxy:
            options.append(("grpc.http_proxy", self._options.proxy))
        if (self._options.endpoint_url or "").startswith("http://"):
            return grpc.insecure_channel(self.target, options)
        trusted = ca_path(self._options, self._folder)
        secure = grpc.ssl_channel_credentials(trusted.read_bytes() if trusted else None)
        if not self._options.anonymous:
            plugin = AuthMetadataPlugin(identity.credentials, tokens, default_host=self._host)
            secure = grpc.composite_channel_credentials(secure, grpc.metadata_call_credentials(plugin))
        return grpc.secure_channel(self.target, secure, options)

    def _close(self) -> None:
        if self._rpc:
            self._rpc.channel.close()
