"""Reading stored scans line by line, and handing them over so that none is skipped before it is journalled."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import msgspec

from scribe_export.archives.codec import DAMAGED
from scribe_export.model import Delivery, Incoming

CHUNK_RECORDS = 500
CHUNK_BYTES = 4 * 2**20
_TAIL = 1024
_DRAIN = 2**20

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Position(msgspec.Struct, frozen=True):
    """How far an archive was taken, as kept in the checkpoint.

    `version` is the archive's state then, `offset` counts plain bytes and `line` lines before the next one. `tail` is a
    digest of the last bytes before `offset`: an archive that still has them there has only grown. `done`: nothing is
    left of this version.
    """

    version: str = ""
    offset: int = 0
    line: int = 0
    tail: str = ""
    done: bool = False


def tail_digest(data: bytes) -> str:
    """The digest of an archive's last bytes before an offset, of which only the last KiB counts."""
    return hashlib.sha256(data[-_TAIL:]).hexdigest()[:32]


@dataclass(slots=True)
class Chunk:
    """Some lines: the bodies, and where the next chunk begins.

    `ended`: there is nothing more. `partial`: a last line without its end was left. `damage` says why the rest cannot be
    read. `overlong` are the numbers of lines that were longer than allowed and passed over.
    """

    incoming: list[Incoming]
    offset: int
    line: int
    tail: str
    ended: bool = False
    partial: bool = False
    damage: str = ""
    overlong: Sequence[int] = ()


def is_whole(document: bytes) -> bool:
    """Whether these bytes are a JSON object from its first brace to its last: then nothing of it is still to come."""
    try:
        _object.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


class LineReader:
    """Cuts a stream of plain bytes, which stands at `start` with `tail` just before it, into chunks of lines."""

    def __init__(
        self,
        stream: io.BufferedIOBase,
        origin: str,
        start: Position,
        max_record: int,
        tail: bytes = b"",
        *,
        patience: int | None = None,
    ) -> None:
        """`patience` is how many bytes of a line that is too long are read to find its end; without end if left out."""
        self._patience, self._endless = patience, False
        self._stream = stream
        self._origin = origin
        self._max = max_record
        self._offset, self._line = start.offset, start.line
        self._tail = tail
        self._ahead: bytes | None = None

    def skip(self, offset: int) -> None:
        """Pass over `offset` plain bytes; raises one of `DAMAGED`."""
        while offset > 0 and (data := self._stream.read(min(offset, _DRAIN))):
            self._tail = (self._tail + data)[-_TAIL:]
            offset -= len(data)

    def chunk(self, *, partial: bool) -> Chunk:
        """The next lines.

        A last line without its end is taken if `partial` or if it is a whole JSON object; the position stays before
        it, so that it comes again should it grow.
        """
        found = Chunk([], self._offset, self._line, "")
        size, overlong = 0, []
        try:
            while (line := self._peek()) and len(found.incoming) < CHUNK_RECORDS and size < CHUNK_BYTES:
                if len(line) > self._max and not line.endswith(b"\n"):
                    overlong.append(self._line + 1)
                    self._advance(line)
                    self._offset += self._drain()
                    if self._endless:
                        found.damage = f"line {self._line} has no end within {self._patience} bytes"
                        break
                    continue
                if not line.endswith(b"\n"):
                    if partial or is_whole(line):
                        self._take(line, found)
                    else:
                        found.partial = True
                    found.ended = True
                    break
                self._take(line, found)
                size += len(line)
                self._advance(line)
            found.ended = found.ended or not line
        except DAMAGED as error:
            found.damage = f"{type(error).__name__}: {error}"
        found.offset, found.line, found.overlong = self._offset, self._line, overlong
        found.tail = tail_digest(self._tail)
        return found

    def _peek(self) -> bytes:
        if self._ahead is None:
            self._ahead = self._stream.readline(self._max + 1)
        return self._ahead

    def _take(self, line: bytes, found: Chunk) -> None:
        body = line.rstrip(b"\r\n")
        if body.strip():
            found.incoming.append(Incoming(body, f"{self._origin}:{self._line + 1}"))

    def _advance(self, line: bytes) -> None:
        self._ahead = None
        self._offset += len(line)
        self._line += 1
        self._tail = (self._tail + line)[-_TAIL:]

    def _drain(self) -> int:
        """Read the rest of an overlong line; how many bytes it was."""
        drained = 0
        while data := self._stream.readline(_DRAIN):
            drained += len(data)
            self._tail = (self._tail + data)[-_TAIL:]
            if data.endswith(b"\n"):
                break
            if self._patience is not None and drained >= self._patience:
                self._endless = True
                break
        return drained


class Handover:
    """The deliveries handed over and not yet acked.

    At most `most` at a time, and never two that touch the same key of the checkpoint: the later one's commit would
    otherwise pass over the bodies of an earlier one that was not taken.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._out: dict[int, frozenset[str]] = {}
        self._refused: set[str] = set()
        self._changed = anyio.Event()
        self._count = 0

    async def settled(self, keys: Sequence[str]) -> None:
        """Wait until no delivery with one of these keys is out, and forget that one was refused."""
        await self._wait(frozenset(keys), self._most + 1)
        self._refused.difference_update(keys)

    def refused(self, key: str | None = None) -> bool:
        """Whether a delivery with this key (with any) was nacked: its bodies come again in the next pass."""
        return bool(self._refused) if key is None else key in self._refused

    async def room(self, keys: Iterable[str]) -> None:
        """Wait until a delivery with these keys may be handed over."""
        await self._wait(frozenset(keys), self._most)

    def hand(self, incoming: Sequence[Incoming], checkpoint: Mapping[str, str | None]) -> Delivery:
        """A delivery that is now out."""
        self._count += 1
        number = self._count
        self._out[number] = frozenset(checkpoint)

        async def ack() -> None:
            self._settle(number)

        async def nack() -> None:
            self._refused |= self._settle(number)

        return Delivery(incoming, checkpoint, ack, nack)

    async def _wait(self, keys: frozenset[str], room: int) -> None:
        while len(self._out) >= room or any(keys & out for out in self._out.values()):
            await self._changed.wait()

    def _settle(self, number: int) -> frozenset[str]:
        keys = self._out.pop(number, frozenset())
        self._changed.set()
        self._changed = anyio.Event()
        return keys
