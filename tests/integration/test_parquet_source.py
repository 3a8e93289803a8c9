"""Parquet files read back: row by row, whoever wrote them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from structlog.testing import capture_logs
from support.loop import in_loop
from support.objects import parquet_file
from support.records import Journalled, body, record, write

from scribe_connectors.file import FileSink, FileSinkOptions, FileSource, FileSourceOptions
from scribe_export.errors import SourceError
from scribe_export.interface import Context


def source(folder: Path, *, once: bool = True, **options: Any) -> FileSource:
    given = {"path": "**/*", "poll_interval": 0.01, **options}
    return FileSource(FileSourceOptions.model_validate(given), Context("files", folder=folder, once=once))


@pytest.mark.parametrize("compression", [None, "none", "gzip"])
def test_what_the_sink_wrote_is_read_back_once(tmp_path: Path, compression: str | None) -> None:
    @in_loop
    async def check() -> None:
        given = {"directory": "in", "key": "l/{batch_id}.{ext}", "format": "parquet", "compression": compression}
        archive = FileSink(FileSinkOptions.model_validate(given), Context("archive", folder=tmp_path))
        await archive.open()
        await write(archive, [record(n) for n in range(1, 31)])
        journal = Journalled()
        await journal.take_all(source(tmp_path / "in"))
        assert journal.bodies == [record(n).body for n in range(1, 31)]
        assert await journal.take_all(source(tmp_path / "in")) == []

    check()


@in_loop
async def test_a_big_file_is_taken_in_pieces_and_resumed_at_its_row(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet_file([body(n) for n in range(1, 2001)], rows=300))
    journal = Journalled()
    taken = source(tmp_path).deliveries(journal)
    for _ in range(2):
        delivery = await anext(taken)
        assert len(delivery.incoming) <= 500
        await journal.take(delivery)
    await taken.aclose()  # type: ignore[attr-defined]
    await journal.take_all(source(tmp_path))
    assert journal.ids() == [str(n) for n in range(1, 2001)]
    assert journal.origins[-1] == "x.parquet:2000"


@in_loop
async def test_files_without_scans_and_damaged_ones_are_named_and_stop_no_other(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no such thing")
    whole = parquet_file([body(1), body(2)])
    (tmp_path / "c.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "d.parquet").write_bytes(whole)
    journal = Journalled()
    with capture_logs() as logs:
        await journal.take_all(source(tmp_path))
    assert journal.ids() == ["1", "2"]
    assert [(one["alarm"], one["origin"]) for one in logs] == [
        ("unreadable", f"{name}.parquet") for name in ("a", "b", "c")
    ]
    assert "no column 'document'" in logs[0]["reason"]


@in_loop
async def test_empty_rows_are_passed_over_and_long_ones_named(tmp_path: Path) -> None:
    documents = [None, body(1).decode(), body(2, audio="x" * 5000).decode(), "", body(3).decode()]
    parquet.write_table(pa.table({"document": documents}), tmp_path / "x.parquet")
    journal = Journalled()
    with capture_logs() as logs:
        await journal.take_all(source(tmp_path, max_record=2000))
    assert journal.ids() == ["1", "3"]
    assert [(one["alarm"], one["origin"]) for one in logs] == [("too_long", "x.parquet:3")]


@in_loop
async def test_a_file_still_being_written_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    whole = parquet_file([body(1)])
    (tmp_path / "x.parquet").write_bytes(whole[:100])
    (tmp_path / "y.parquet").write_bytes(parquet_file([body(2)]))
    journal = Journalled()
    taken = source(tmp_path, once=False).deliveries(journal)
    with capture_logs() as logs:
        await journal.take(await anext(taken))
        (tmp_path / "x.parquet").write_bytes(whole)
        await journal.take(await anext(taken))
    await taken.aclose()  # type: ignore[attr-defined]
    assert journal.ids() == ["2", "1"]
    assert logs == []


@in_loop
async def test_an_archive_shaped_by_fields_is_refused_by_name(tmp_path: Path) -> None:
    given = {"directory": "in", "key": "l/{batch_id}.parquet", "format": "parquet", "fields": {"exclude": ["config"]}}
    archive = FileSink(FileSinkOptions.model_validate(given), Context("archive", folder=tmp_path))
    await archive.open()
    await write(archive, [record(1)])
    with pytest.raises(SourceError, match=r"\.parquet holds scans shaped"):
        await Journalled().take_all(source(tmp_path / "in"))


@in_loop
async def test_without_pyarrow_the_alarm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(parquet_file([body(1)]))
    (tmp_path / "y.json").write_bytes(body(2))
    monkeypatch.setattr("scribe_export.archives.reader.installed", lambda: False)
    journal = Journalled()
    with capture_logs() as logs:
        await journal.take_all(source(tmp_path))
    assert journal.ids() == ["2"]
    assert "pip install 'scribe-export[parquet]'" in logs[0]["reason"]
    assert await journal.take_all(source(tmp_path)) == []
    monkeypatch.undo()
    assert await journal.take_all(source(tmp_path)) == [body(1)]


@in_loop
async def test_the_option_says_what_the_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(parquet_file([body(1)]))
    journal = Journalled()
    await journal.take_all(source(tmp_path, format="parquet"))
    assert journal.ids() == ["1"]
