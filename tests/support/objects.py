"""What stored objects hold, read without the connectors, and Parquet files by somebody else's hand."""

import gzip
import io
from collections.abc import Iterable

import pyarrow as pa
import zstandard
from pyarrow import parquet


def contents(name: str, data: bytes) -> list[bytes]:
    """The scans in an object, by its name."""
    if name.endswith(".parquet"):
        found = parquet.read_table(io.BytesIO(data), columns=["document"]).column("document")
        return [document.encode() for document in found.to_pylist()]
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    if name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().decompress(data)
    return data.splitlines() if ".jsonl" in name else [data]


def parquet_file(documents: Iterable[bytes], *, rows: int = 2) -> bytes:
    """A file with the column `document` alone, `rows` in a row group."""
    stream = io.BytesIO()
    parquet.write_table(pa.table({"document": [one.decode() for one in documents]}), stream, row_group_size=rows)
    return stream.getvalue()
