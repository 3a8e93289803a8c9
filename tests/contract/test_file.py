"""Files keep the contracts of sinks and sources."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from support.objects import contents, parquet_file

from scribe_connectors.file.sink import FileSink, FileSinkOptions
from scribe_connectors.file.source import FileSource, FileSourceOptions
from scribe_export.interface import Context
from scribe_export.keys import path_safe
from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.records import make_record, scan_body
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_export.testing.source_contract import MakeSource, Put, SourceContract


class Folder(Destination):
    """What the files of a folder hold, each line or document an effect."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def held(self) -> list[tuple[str, bytes]]:
        bodies = []
        for path in self.folder.rglob("*"):
            if path.is_file():
                bodies += contents(path.name, path.read_bytes())
        return [(read_fields(body).scan_id, body) for body in bodies]

    def strays(self) -> list[str]:
        beside = self.folder.parent.parent.rglob("*")
        return [str(path) for path in beside if path.is_file() and not path.is_relative_to(self.folder)]


class FileFixtures(SinkContract):
    key = "scans/{scan_id}.json"
    changed = "elsewhere/{timestamp:%Y}/{scan_id}.json"

    def make(self, folder: Path, key: str) -> MakeSink:
        return lambda: FileSink(
            FileSinkOptions.model_validate({"directory": "archive", "key": key}), Context("file", folder=folder)
        )

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        place = tmp_path / "place"
        place.mkdir()
        return place

    @pytest.fixture
    def sink(self, place: Path) -> MakeSink:
        return self.make(place, self.key)

    @pytest.fixture
    def reshaped(self, place: Path) -> MakeSink:
        return self.make(place, self.changed)

    @pytest.fixture
    def destination(self, place: Path) -> Destination:
        return Folder(place / "archive")

    @pytest.fixture
    def faults(self, place: Path) -> Faults:
        archive = place / "archive"

        @contextmanager
        def down() -> Iterator[None]:
            """A disk that is not mounted: something else is in its place."""
            aside = place / "aside"
            if archive.exists():
                archive.rename(aside)
            archive.write_text("not mounted")
            yield
            archive.unlink()
            if aside.exists():
                aside.rename(archive)

        @contextmanager
        def refuse(record: Record) -> Iterator[None]:
            taken = archive / "scans" / f"{path_safe(record.scan_id)}.json"
            taken.mkdir(parents=True)
            yield
            shutil.rmtree(taken)

        return Faults(down=down, refuse=refuse)


class TestOneFileAScan(FileFixtures):
    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("x" * 256)


class TestOneFileABatch(FileFixtures):
    key = "scans/{timestamp:%Y-%m-%d}/{batch_id}.{ext}"
    changed = "elsewhere/{batch_id}.{ext}"
    cannot_partially_fail = "a batch is one file"


class TestOneCompressedFileABatch(FileFixtures):
    key = "scans/{batch_id}.{ext}"
    changed = "elsewhere/{batch_id}.{ext}"
    cannot_partially_fail = "a batch is one file"

    def make(self, folder: Path, key: str) -> MakeSink:
        given = {"directory": "archive", "key": key, "compression": "zstd"}
        return lambda: FileSink(FileSinkOptions.model_validate(given), Context("file", folder=folder))


class TestOneParquetFileABatch(FileFixtures):
    key = "scans/{batch_id}.{ext}"
    changed = "elsewhere/{batch_id}.{ext}"
    cannot_partially_fail = "a batch is one file"

    def make(self, folder: Path, key: str) -> MakeSink:
        given = {"directory": "archive", "key": key, "format": "parquet"}
        return lambda: FileSink(FileSinkOptions.model_validate(given), Context("file", folder=folder))


class FileSourceFixtures(SourceContract):
    path = "in/**/*.json"

    @pytest.fixture
    def source(self, tmp_path: Path) -> MakeSource:
        options = FileSourceOptions.model_validate({"path": self.path, "poll_interval": 0.02})
        return lambda *, once: FileSource(options, Context("file", folder=tmp_path, once=once))

    @pytest.fixture
    def put(self, tmp_path: Path) -> Put:
        folder, numbers = tmp_path / "in", count(1)
        folder.mkdir()

        def put(amount: int) -> Mapping[str, bytes]:
            added = {str(n): scan_body(n) for n, _ in zip(numbers, range(amount), strict=False)}
            self.write(folder, added)
            return added

        return put

    def write(self, folder: Path, added: Mapping[str, bytes]) -> None:
        raise NotImplementedError


class TestAFolderOfScans(FileSourceFixtures):
    def write(self, folder: Path, added: Mapping[str, bytes]) -> None:
        for scan_id, body in added.items():
            # Names that sort in another order than the scans came.
            (folder / f"{int(scan_id) * 7919 % 1000}.json").write_bytes(body)


class TestAFileThatGrows(FileSourceFixtures):
    path = "in/scans.jsonl"

    def write(self, folder: Path, added: Mapping[str, bytes]) -> None:
        with (folder / "scans.jsonl").open("ab") as file:
            file.writelines(body + b"\n" for body in added.values())


class TestParquetFilesOfScans(FileSourceFixtures):
    path = "in/*.parquet"

    def write(self, folder: Path, added: Mapping[str, bytes]) -> None:
        (folder / f"{min(map(int, added)) * 7919 % 1000}.parquet").write_bytes(parquet_file(added.values()))
