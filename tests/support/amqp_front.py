"""A proxy before RabbitMQ that reads what its clients send, and makes the broker itself fail what it is told to."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Self

import pamqp.frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from scribe_local.process import free_port

PREAMBLE = 8
Message = tuple[Basic.Publish, ContentHeader, bytes]


class AmqpFront:
    """`port` passes on to the broker. `requests` counts connections and published messages; `published` are the latter,
    `acks` the acknowledgements of consumers, `heartbeats` counts theirs.

    A message that `change` is true of goes to the exchange and routing key that it gives instead.
    """

    def __init__(self, broker: int) -> None:
        self.port = free_port()
        self.requests = 0
        self.connections = 0
        self.heartbeats = 0
        self.published: list[Message] = []
        self.acks: list[Basic.Ack] = []
        self.down = self.losing = self.mute = False
        self.change: Callable[[Message], tuple[str, str] | None] = lambda message: None
        self._broker = broker
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for one in [self._open.pop() for _ in range(len(self._open))]:
            _reset(one)

    @contextmanager
    def unavailable(self) -> Iterator[None]:
        """Whatever a client sends, and whoever connects, has its connection reset."""
        self.down = True
        try:
            yield
        finally:
            self.down = False

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """What the broker answers never arrives: the connection is reset instead."""
        self.losing = True
        try:
            yield
        finally:
            self.losing = False

    @contextmanager
    def unconfirmed(self) -> Iterator[None]:
        """What the broker answers to messages never arrives, and connections stay open."""
        self.mute = True
        try:
            yield
        finally:
            self.mute = False

    @contextmanager
    def changing(self, change: Callable[[Message], tuple[str, str] | None]) -> Iterator[None]:
        before, self.change = self.change, change
        try:
            yield
        finally:
            self.change = before

    def denying(self) -> AbstractContextManager[None]:
        """The broker refuses the exchange: it is one of its own."""
        return self.changing(lambda _: ("amq.rabbitmq.trace", ""))

    def unroutable(self, marker: bytes) -> AbstractContextManager[None]:
        """The broker has no queue for messages that hold `marker`."""
        return self.changing(lambda message: ("", "no-such-queue") if marker in message[2] else None)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.requests += 1
                self.connections += 1
                if self.down:
                    _reset(client)
                    continue
                broker = socket.create_connection(("127.0.0.1", self._broker))
                self._open += [client, broker]
                threading.Thread(target=self._asked, args=(client, broker), daemon=True).start()
                threading.Thread(target=self._answered, args=(broker, client), daemon=True).start()

    def _asked(self, client: socket.socket, broker: socket.socket) -> None:
        rest = b""
        with suppress(OSError, ValueError):
            first = client.recv(PREAMBLE, socket.MSG_WAITALL)
            broker.sendall(first)
            message: list[object] = []
            while data := client.recv(65536):
                rest += data
                while len(rest) >= 7 and len(rest) >= (size := struct.unpack(">I", rest[3:7])[0] + 8):
                    frame, rest = rest[:size], rest[size:]
                    self._pass(client, broker, frame, message)
        _reset(client)
        _reset(broker)

    def _pass(self, client: socket.socket, broker: socket.socket, frame: bytes, message: list[object]) -> None:
        _, channel, value = pamqp.frame.unmarshal(frame)
        if isinstance(value, Basic.Ack):
            self.acks.append(value)
        self.heartbeats += isinstance(value, Heartbeat)
        if isinstance(value, Basic.Publish):
            self.requests += 1
            message[:] = [value]
        elif message:
            message.append(value)
        if self.down:
            raise OSError("down")
        if not message:
            broker.sendall(frame)
            return
        if len(message) < 2:
            return
        publish, header, parts = message[0], message[1], message[2:]
        assert isinstance(publish, Basic.Publish)
        assert isinstance(header, ContentHeader)
        body = b"".join(part.value for part in parts)  # type: ignore[attr-defined]  # frames of content
        if len(body) < header.body_size:
            return
        whole = (publish, header, body)
        self.published.append(whole)
        if elsewhere := self.change(whole):
            publish.exchange, publish.routing_key = elsewhere
        broker.sendall(b"".join(pamqp.frame.marshal(one, channel) for one in message))  # type: ignore[arg-type]
        message.clear()

    def _answered(self, broker: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := broker.recv(65536):
                if self.losing:
                    break
                if not (self.mute and self.published):
                    client.sendall(data)
        _reset(client)
        _reset(broker)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)
    one.close()
