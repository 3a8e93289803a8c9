import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.records import body, record

from scribe_export.archives.codec import (
    DAMAGED,
    EXTENSIONS,
    SAME_JSON_BYTES,
    Compression,
    JsonLines,
    compress,
    compression_of,
    decompressed,
    one_line,
    same_json,
)
from scribe_export.archives.codec import documents as contents

compressions = st.sampled_from(sorted(EXTENSIONS))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=5000), compressions)
def test_what_is_compressed_comes_back(data: bytes, compression: Compression) -> None:
    stored = compress(data, compression)
    assert compress(data, compression) == stored
    with decompressed(io.BytesIO(stored), compression) as stream:
        assert stream.read() == data


@given(st.lists(st.binary(max_size=300), max_size=4), st.sampled_from(["gzip", "zstd"]))
def test_streams_written_one_after_another_read_as_one(pieces: list[bytes], compression: Compression) -> None:
    stored = b"".join(compress(piece, compression) for piece in pieces)
    with decompressed(io.BytesIO(stored), compression) as stream:
        assert stream.read() == b"".join(pieces)


@given(st.data(), st.sampled_from(["gzip", "zstd"]))
def test_a_stream_that_is_cut_off_is_never_taken_for_whole(data: st.DataObject, compression: Compression) -> None:
    stored = compress(b'{"scan_id":1}\n' * 200, compression)
    cut = data.draw(st.integers(1, len(stored) - 1))
    with decompressed(io.BytesIO(stored[:cut]), compression) as stream, pytest.raises(DAMAGED):
        stream.read()


def test_zstd_without_a_size_in_its_header_is_read() -> None:
    writer = zstandard.ZstdCompressor().compressobj()
    stored = writer.compress(b"x" * 500_000) + writer.flush()
    with decompressed(io.BytesIO(stored), "zstd") as stream:
        assert stream.read() == b"x" * 500_000


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_flipped_byte_is_damage(compression: Compression) -> None:
    stored = bytearray(compress(bytes(range(256)) * 20, compression))
    stored[len(stored) // 2] ^= 0x55
    with decompressed(io.BytesIO(bytes(stored)), compression) as stream, pytest.raises(DAMAGED):
        stream.read()


@given(documents, st.sampled_from([None, 2]))
def test_a_line_holds_the_same_document_and_no_newline(document: object, indent: int | None) -> None:
    body = json.dumps(document, indent=indent).encode()
    line = one_line(body)
    assert b"\n" not in line
    assert same_json(line, body)
    assert indent is not None or line == body


@given(st.lists(documents, max_size=5))
def test_lines_come_apart_again(bodies: list[object]) -> None:
    lines = JsonLines("none")
    for one in bodies:
        lines.add(record(1), one_line(json.dumps(one, indent=1).encode()))
    assert [json.loads(line) for line in lines.finish().splitlines()] == bodies


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("known", [True, False])
def test_lines_are_compressed_as_they_come(compression: Compression, known: bool) -> None:
    bodies = [body(n, audio="x" * n) for n in range(1, 801)]
    stored = set()
    for _ in range(2):
        lines = JsonLines(compression, sum(len(one) + 1 for one in bodies) if known else None)
        for one in bodies:
            lines.add(record(1), one)
        stored.add(lines.finish())
    [found] = stored
    assert [*contents(found, "jsonl", compression, 2**20)] == bodies
    if known and compression == "zstd":
        assert zstandard.ZstdDecompressor().decompress(found) == b"".join(one + b"\n" for one in bodies)


@given(documents)
def test_a_document_is_the_same_however_it_is_spelled(document: object) -> None:
    assert same_json(json.dumps(document, indent=3, sort_keys=True).encode(), json.dumps(document).encode())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b"1.0", b"1", True),
        (b"1e2", b"100", True),
        (b"true", b"1", False),
        (b"123456789012345678901234567890", b"123456789012345678901234567891", False),
        (b"0.1", b"0.1000000000000000055511151231257827", False),
        (b"NaN", b"NaN ", False),
        (b"nonsense", b"nonsense ", False),
        (b"[1,2]", b"[2,1]", False),
        (b'"\\u00e9"', '"é"'.encode(), True),
        (b"[" * 100_000, b"[" * 100_001, False),
    ],
)
def test_json_is_compared_by_its_values(one: bytes, other: bytes, same: bool) -> None:
    assert same_json(one, other) is same


def test_large_texts_are_the_same_if_only_their_spacing_differs() -> None:
    """Value by value, 50 MB of numbers would take more than a gigabyte."""
    large = b'{"scan_id":1,"a":[' + b",".join([b"0.1234567"] * 150_000) + b"]}"
    assert len(large) > SAME_JSON_BYTES
    assert same_json(large, large.replace(b",", b", "))
    assert not same_json(large, large.replace(b"7]", b"70]"))
    assert not same_json(large, large[:-1])


def test_the_name_tells_the_compression() -> None:
    assert [compression_of(f"a.jsonl{end}") for end in EXTENSIONS.values()] == list(EXTENSIONS)


def test_gzip_is_what_others_write() -> None:
    with decompressed(io.BytesIO(gzip.compress(b"abc")), "gzip") as stream:
        assert stream.read() == b"abc"


@given(documents.filter(bool), documents)
def test_what_was_compressed_before_changes_nothing(document: object, other: object) -> None:
    data = json.dumps(document).encode() * 20
    fresh = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)
    compress(json.dumps(other).encode() * 50, "zstd")
    assert compress(data, "zstd") == fresh


def test_threads_compress_at_once_without_a_mixture() -> None:
    bodies = [bytes([number]) * 200_000 for number in range(8)]
    expected = [compress(one, "zstd") for one in bodies]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert list(pool.map(lambda one: compress(one, "zstd"), bodies)) == expected
