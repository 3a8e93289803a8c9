"""How bodies become the bytes of one stored object, and back."""

import gzip
import hashlib
import io
import json
import threading
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

import msgspec
import zstandard

from scribe_export.archives.parquet import ParquetDocuments, ParquetError
from scribe_export.model import Record

Compression = Literal["none", "gzip", "zstd"]
Format = Literal["json", "jsonl", "parquet"]
EXTENSIONS: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
SAME_JSON_BYTES = 2**20
"""Up to this size texts are compared value by value."""
_CHUNK = 128 * 1024
_COMPRESSED_CHUNK = 2 * 1024  # small, because what one read expands to is held whole
_of_thread = threading.local()
_ZSTD_LEVEL = 1  # smaller output than gzip 6 at a ninth of its CPU, on scans


def one_line(body: bytes) -> bytes:
    """The body itself, compacted only if it contains a newline. Raises msgspec.DecodeError."""
    if b"\n" not in body and b"\r" not in body:
        return body
    return msgspec.json.format(body, indent=-1)


def compress(data: bytes, compression: Compression) -> bytes:
    """The same output for the same input, whenever it is called."""
    if compression == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if compression == "zstd":
        return _own_zstd().compress(data)
    return data


def _own_zstd() -> zstandard.ZstdCompressor:
    """This thread's compressor: to make one takes half as long as to compress a scan, and two threads cannot share it."""
    found: zstandard.ZstdCompressor | None = getattr(_of_thread, "zstd", None)
    if found is None:
        found = _of_thread.zstd = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    return found


def compression_of(name: str) -> Compression:
    """From a file's or an object's last extension."""
    return "gzip" if name.endswith(".gz") else "zstd" if name.endswith(".zst") else "none"


def decompressed(raw: io.RawIOBase | io.BufferedIOBase, compression: Compression) -> io.BufferedIOBase:
    """A stream of the plain bytes of a compressed stream; reading it may raise one of `DAMAGED` or OSError."""
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "zstd":
        return io.BufferedReader(_ZstdStream(raw), buffer_size=_CHUNK)
    return raw if isinstance(raw, io.BufferedIOBase) else io.BufferedReader(raw)


DAMAGED = (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError, ParquetError)
"""What reading a corrupt or truncated compressed stream raises."""


class _ZstdStream(io.RawIOBase):
    """Plain bytes of zstd frames. Unlike zstandard's own reader it raises EOFError where the last frame is cut off."""

    def __init__(self, raw: io.RawIOBase | io.BufferedIOBase) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            compressed = self._frame.unused_data if self._frame.eof else b""
            compressed = compressed or self._raw.read(_COMPRESSED_CHUNK) or b""
            if self._frame.eof:
                self._frame, self._inside = zstandard.ZstdDecompressor().decompressobj(), False
            if not compressed:
                if self._inside:
                    raise EOFError("compressed data ends within a frame")
                return 0
            self._plain = memoryview(self._frame.decompress(compressed))
            self._inside = not self._frame.eof
        taken = min(len(buffer), len(self._plain))
        buffer[:taken], self._plain = self._plain[:taken], self._plain[taken:]
        return taken


def same_json(one: bytes, other: bytes) -> bool:
    """Whether two texts are the same JSON value: order of keys, spacing and the spelling of numbers do not count.

    Numbers are compared exactly; text that is no JSON is the same as nothing. Above `SAME_JSON_BYTES` only spacing does
    not count: decoded numbers take thirty times the room of their text.
    """
    if one == other:
        return True
    try:
        if max(len(one), len(other)) > SAME_JSON_BYTES:
            return _compact_digest(one) == _compact_digest(other)
        return bool(_value(one) == _value(other))
    except (ValueError, RecursionError, ArithmeticError, msgspec.DecodeError):
        return False


def _compact_digest(text: bytes) -> bytes:
    # Digests, so that only one compact text is held at a time.
    return hashlib.sha256(msgspec.json.format(text, indent=-1)).digest()


def _value(text: bytes) -> Any:
    # A number becomes a pair, which JSON has not, so that it never equals true or false.
    return json.loads(
        text,
        parse_int=lambda digits: ("number", Decimal(digits)),
        parse_float=lambda digits: ("number", Decimal(digits)),
        parse_constant=_refuse_constant,
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class JsonLines:
    """Documents on their way into one object, a line each, compressed as they come.

    `size` is that of all lines together, if it is known: some programs decompress only what says how long it will be.
    """

    def __init__(self, compression: Compression, size: int | None = None) -> None:
        self._stream = io.BytesIO()
        self._compressor: Any = None
        if compression == "gzip":
            # A gzip file by gzip's own hand bears the hour of its making; this bears none.
            self._compressor = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        elif compression == "zstd":
            settings = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
            self._compressor = settings.compressobj() if size is None else settings.compressobj(size=size)
        self._ahead: list[bytes] = []
        self._ahead_size = 0

    def add(self, record: Record, line: bytes) -> None:  # noqa: ARG002 - as ParquetRows
        """The next scan's JSON, which holds no newline."""
        if self._compressor is None:
            self._stream.write(line)
            self._stream.write(b"\n")
            return
        self._ahead += (line, b"\n")
        self._ahead_size += len(line) + 1
        if self._ahead_size >= _CHUNK:
            self._compress()

    def _compress(self) -> None:
        self._stream.write(self._compressor.compress(b"".join(self._ahead)))
        self._ahead, self._ahead_size = [], 0

    def finish(self) -> bytes:
        """The object's bytes, the same for the same documents."""
        if self._compressor is not None:
            self._compress()
            self._stream.write(self._compressor.flush())
        return self._stream.getvalue()


def documents(data: bytes, form: Format, compression: Compression, most: int) -> Iterator[bytes]:
    """What an object holds, one after the other, each cut off at `most` bytes; raises one of `DAMAGED` or OSError."""
    if form == "parquet":
        yield from (document or b"" for document in ParquetDocuments(io.BytesIO(data)).rows())
        return
    with decompressed(io.BytesIO(data), compression) as stream:
        if form == "json":
            yield stream.read(most)
            return
        while line := stream.readline(most):
            if line.strip():
                yield line.rstrip(b"\r\n")
