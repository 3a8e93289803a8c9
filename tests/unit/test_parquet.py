"""Batches as Parquet files: what is in them, how much memory they take, and what is no file of scans."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError
from support.loop import in_loop
from support.records import body, record, sealed, write
from support.shelf import Shelf

from scribe_export.archives.parquet import COLUMNS, DOCUMENT, ParquetDocuments, ParquetError, ParquetRows
from scribe_export.errors import Conflict
from scribe_export.model import Record

KEY = "lake/{batch_id}.{ext}"


def stored(shelf: Shelf, records: list[Record]) -> bytes:
    [item] = shelf.encode(sealed(shelf, records)).payload
    data: bytes = item.data
    return data


def table(data: bytes) -> Any:
    return parquet.read_table(io.BytesIO(data))


def test_a_row_has_the_key_columns_and_the_document_byte_for_byte() -> None:
    odd = record(2, b'{\n "scan_id": "b", "timestamp": 1767225600000, "note": "\xc3\xa9" }')
    found = table(stored(Shelf(key=KEY, format="parquet"), [record(1), odd]))
    assert found.schema.names == [*(column.name for column in COLUMNS), DOCUMENT]
    first, second = found.to_pylist()
    assert first == {
        "scan_id": "1",
        "timestamp": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "confidence": 0.91,
        "material": "oak",
        "signal_type": "sine",
        "frequency": 440.0,
        "source": "",
        "sha256": record(1).sha256,
        "received_at": datetime.fromtimestamp(1_780_000_001, UTC),
        "document": record(1).body.decode(),
    }
    assert second["timestamp"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert second["document"].encode() == odd.body
    assert {second[name] for name in ("confidence", "material", "signal_type", "frequency")} == {None}


@pytest.mark.parametrize(("compression", "codec"), [("none", "UNCOMPRESSED"), ("gzip", "GZIP"), (None, "ZSTD")])
def test_it_is_compressed_within_and_named_as_what_it_is(compression: str | None, codec: str) -> None:
    shelf = Shelf(key=KEY, format="parquet", compression=compression)
    encoded = shelf.encode(sealed(shelf, [record(1)]))
    assert encoded.payload[0].key.endswith(".parquet")
    assert encoded.payload[0].content_type == "application/vnd.apache.parquet"
    file = parquet.ParquetFile(io.BytesIO(encoded.payload[0].data))
    assert {file.metadata.row_group(0).column(n).compression for n in range(10)} == {codec}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "s/{scan_id}.json", "format": "parquet"}, "goes with"),
        ({"key": "s/{batch_id}.parquet.zst", "format": "parquet"}, "ends in"),
        ({"key": "s/{batch_id}.parquet.gz", "format": "parquet", "compression": "gzip"}, "ends in"),
        ({"key": "s/{batch_id}.jsonl", "format": "parquet"}, "ends in"),
        ({"key": "s/{batch_id}.parquet"}, "ends in"),
    ],
)
def test_names_that_lie_about_the_format_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Shelf(**options)


def test_without_pyarrow_the_config_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    Shelf(key=KEY)
    with pytest.raises(ValidationError, match=r"pip install 'scribe-export\[parquet\]'"):
        Shelf(key=KEY, format="parquet")


def test_a_config_without_parquet_never_imports_pyarrow() -> None:
    code = (
        "import sys; from scribe_connectors.file import FileSink, FileSinkOptions, FileSource; "
        "FileSinkOptions.model_validate({'directory': 'x', 'key': 's/{batch_id}.{ext}', 'compression': 'zstd'}); "
        "assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_batch_gives_the_same_bytes_however_the_options_change() -> None:
    records = [record(n) for n in range(1, 50)]
    shelf = Shelf(key=KEY, format="parquet")
    batch = sealed(shelf, records)
    assert shelf.encode(batch).payload == Shelf(key="x/{batch_id}.{ext}", compression="gzip").encode(batch).payload


def test_what_fields_leaves_out_is_in_no_column_either() -> None:
    shelf = Shelf(
        key=KEY, format="parquet", fields={"exclude": ["interpretation.pattern_matches"], "rename": {"config": "how"}}
    )
    data = stored(shelf, [record(1)])
    [row] = table(data).to_pylist()
    assert (row["material"], row["confidence"], row["signal_type"]) == (None, 0.91, "sine")
    assert b"oak" not in data
    assert set(json.loads(row["document"])) == {"scan_id", "timestamp", "how", "interpretation"}
    assert ParquetDocuments(io.BytesIO(data)).metadata["scribe-fields"] == "1"
    included = Shelf(key=KEY, format="parquet", fields={"include": ["scan_id", "config.frequency"]})
    [row] = table(stored(included, [record(1)])).to_pylist()
    assert (row["timestamp"], row["confidence"], row["signal_type"], row["frequency"]) == (None, None, None, 440.0)


def test_a_timestamp_that_is_none_is_left_to_the_document() -> None:
    shelf = Shelf(key=KEY, format="parquet")
    [row] = table(stored(shelf, [record(1, b'{"scan_id":1,"timestamp":"soon"}')])).to_pylist()
    assert (row["timestamp"], row["document"]) == (None, '{"scan_id":1,"timestamp":"soon"}')


def test_what_is_no_text_is_named_before_the_write() -> None:
    bad = record(2, b'{"scan_id":2,"x":"\xff"}')
    bad._fields = record(2).fields
    shelf = Shelf(key=KEY, format="parquet")
    encoded = shelf.encode(sealed(shelf, [record(1), bad]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {1: "invalid"}
    assert encoded.payload == ()


def test_row_groups_are_cut_by_bytes_and_rows_found_again_from_any_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scribe_export.archives.parquet.ROW_GROUP", 1000)
    records = [record(n) for n in range(1, 31)]
    data = stored(Shelf(key=KEY, format="parquet"), records)
    assert parquet.ParquetFile(io.BytesIO(data)).num_row_groups > 5
    for start in (0, 1, 7, 29, 30):
        assert [*ParquetDocuments(io.BytesIO(data)).rows(start)] == [one.body for one in records[start:]]


@in_loop
async def test_a_foreign_file_is_compared_row_by_row() -> None:
    shelf = Shelf(key=KEY, format="parquet")
    encoded = shelf.encode(sealed(shelf, [record(1), record(2)]))
    name = encoded.payload[0].key
    rows = ParquetRows("gzip", None, {})
    for n in (1, 2):
        rows.add(record(n), json.dumps(json.loads(body(n)), indent=1).encode())
    shelf.held[name] = "theirs", rows.finish(), {}
    assert await shelf.write(encoded) == "theirs"
    for other in (stored(shelf, [record(1)]), b"PAR1 or something"):
        shelf.held[name] = "theirs", other, {}
        with pytest.raises(Conflict):
            await shelf.write(encoded)


@in_loop
async def test_a_repeat_is_known_by_its_digest_whoever_wrote_the_bytes() -> None:
    shelf = Shelf(key=KEY, format="parquet")
    await write(shelf, [record(1)])
    [(name, (tag, _, metadata))] = shelf.held.items()
    shelf.held[name] = tag, b"by another pyarrow", metadata
    assert await write(shelf, [record(1)]) == tag


def _file(**columns: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "."),
        (b"PAR1PAR1", "."),
        (_file(scan_id=["1"]), "no column 'document'"),
        (_file(document=[1]), "int64, not text"),
        (_file(document=[{"a": 1}]), "not text"),
    ],
)
def test_what_holds_no_scans_says_so(data: bytes, message: str) -> None:
    with pytest.raises(ParquetError, match=message):
        ParquetDocuments(io.BytesIO(data))


def test_a_flipped_byte_is_damage() -> None:
    data = bytearray(stored(Shelf(key=KEY, format="parquet", compression="none"), [record(n) for n in range(1, 5)]))
    data[data.index(b"amplitude") + 1] ^= 0x01
    with pytest.raises(ParquetError):
        list(ParquetDocuments(io.BytesIO(bytes(data))).rows())


def test_many_long_documents_behind_a_few_bytes_are_met_one_by_one() -> None:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"document": ["x" * 100_000] * 2000}), stream, use_dictionary=True)
    assert len(stream.getvalue()) < 2**20
    before = pa.total_allocated_bytes()
    for number, document in enumerate(ParquetDocuments(stream).rows()):
        assert len(document or b"") == 100_000
        assert number % 100 or pa.total_allocated_bytes() - before < 8 * 2**20


PEAK = """if True:
    import random, sys
    from pathlib import Path
    sys.path.insert(0, "tests")
    from support.records import record, sealed
    from support.shelf import Shelf
    def memory(name):
        return next(int(one.split()[1]) for one in open("/proc/self/status") if one.startswith(name)) * 1024
    def write_all():
        return shelf.encode(sealed(shelf, records)).payload[0]
    shelf = Shelf(key="lake/{batch_id}.{ext}", format=sys.argv[1], compression=sys.argv[2])
    digits = random.Random(1)
    make = lambda n: b'{"scan_id":%d,"audio":"%b"}' % (n, digits.randbytes(12_000).hex().encode())
    records = [record(n, make(n)) for n in range(1, 500)]
    write_all()
    records = [record(n, make(n)) for n in range(1, 5001)]
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    item = write_all()
    print(sum(one.size for one in records), len(item.data), memory("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_batch_is_never_twice_in_memory(form: str, compression: str, pytestconfig: pytest.Config) -> None:
    """Beside the raw bodies there is what is stored, and of a Parquet file the row group that is being written."""
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, form, compression],
        check=True,
        capture_output=True,
        text=True,
        cwd=pytestconfig.rootpath,
    )
    raw, data, grown = map(int, ran.stdout.split())
    assert raw > 110 * 2**20
    assert grown < data + raw / 4
