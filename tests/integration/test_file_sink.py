import errno
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.loop import in_loop
from support.mounts import make_read_only, tmpfs
from support.records import body, record, sealed, write

from scribe_connectors.file import FileSink, FileSinkOptions
from scribe_connectors.file._folder import TEMPORARY, Folder
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Transient
from scribe_export.interface import Context

PER_SCAN = "scans/{timestamp:%Y/%m/%d}/{scan_id}.json"


def sink(folder: Path, **options: Any) -> FileSink:
    given = {"directory": str(folder), "key": PER_SCAN, **options}
    return FileSink(FileSinkOptions.model_validate(given), Context("archive", folder=folder.parent))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@in_loop
async def test_scans_become_files_byte_for_byte(folder: Path) -> None:
    archive = sink(folder)
    await archive.open()
    await write(archive, [record(1), record(2)])
    assert files(folder) == {"scans/2026/03/01/1.json": record(1).body, "scans/2026/03/01/2.json": record(2).body}
    await archive.close()


@in_loop
async def test_a_batch_becomes_one_compressed_file_of_lines(folder: Path) -> None:
    archive = sink(folder, key="lake/{batch_id}.{ext}", compression="gzip")
    await archive.open()
    for _ in range(2):
        await write(archive, [record(1), record(2)])
    [(name, data)] = files(folder).items()
    assert name.endswith(".jsonl.gz")
    assert gzip.decompress(data).splitlines() == [record(1).body, record(2).body]


@in_loop
async def test_a_relative_directory_starts_at_the_configs_folder(tmp_path: Path) -> None:
    options = FileSinkOptions.model_validate({"directory": "./kept", "key": "s/{scan_id}"})
    archive = FileSink(options, Context("archive", folder=tmp_path))
    await archive.open()
    await write(archive, [record(1)])
    assert (tmp_path / "kept/s/1").exists()


@in_loop
async def test_a_repeat_leaves_the_file_as_it_is(folder: Path) -> None:
    archive = sink(folder)
    await archive.open()
    await write(archive, [record(1)])
    before = (folder / "scans/2026/03/01/1.json").stat()
    assert await write(archive, [record(1)]) == "1 present"
    after = (folder / "scans/2026/03/01/1.json").stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


@pytest.mark.parametrize("action", ["dead_letter", "keep", "overwrite", "version"])
def test_other_content_is_treated_as_the_destination_says(folder: Path, action: str) -> None:
    @in_loop
    async def check() -> None:
        archive = sink(folder, key="s/{scan_id}.json", on_conflict=action)
        await archive.open()
        await write(archive, [record(1)])
        other = record(2, body(1, note="again"), scan_id=1)
        if action == "dead_letter":
            with pytest.raises(PartialFailure) as caught:
                await write(archive, [other])
            assert isinstance(caught.value.errors[0], Conflict)
        else:
            await write(archive, [other])
        assert files(folder)["s/1.json"] == (other.body if action == "overwrite" else record(1).body)
        assert (f"s/1~v{other.sha256[:12]}.json" in files(folder)) == (action == "version")
        if action == "overwrite":
            assert await write(archive, [record(1)]) == "1 superseded"

    check()


@in_loop
async def test_a_foreign_file_with_the_same_json_is_enough(folder: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    await archive.open()
    (folder / "s").mkdir()
    (folder / "s/1.json").write_text(json.dumps(json.loads(body(1)), indent=4))
    assert await write(archive, [record(1)]) == "1 present"


def test_eight_racing_writers_leave_one_whole_file(folder: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    anyio.run(archive.open)
    [item] = archive.encode(sealed(archive, [record(1)])).payload
    with ThreadPoolExecutor(8) as pool:
        tags = [tag for tag in pool.map(lambda _: archive.create(item.key, item), range(8)) if tag]
    assert len(tags) == 1
    assert files(folder) == {"s/1.json": record(1).body}


@in_loop
async def test_hostile_ids_stay_within_the_folder(folder: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    await archive.open()
    hostile = ["../../etc/passwd", "/abs", "..", "a//b", "\r\n", "C:\\x", "é" * 20]
    await write(archive, [record(n, scan_id=one) for n, one in enumerate(hostile, 1)])
    assert len(files(folder)) == len(hostile)
    assert {path.parent for path in folder.parent.rglob("*") if path.is_file()} == {folder / "s"}


@in_loop
async def test_a_name_that_no_file_can_have_refuses_its_record_alone(folder: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    encoded = archive.encode(sealed(archive, [record(1, scan_id="é" * 100), record(2)]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {0: "name"}
    assert len(encoded.payload) == 1


@in_loop
async def test_symbolic_links_are_not_followed_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    await archive.open()
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "s").symlink_to(outside)
    with pytest.raises(Misconfigured, match="symbolic links are not followed"):
        await write(archive, [record(1)])
    (folder / "s").unlink()
    (folder / "s").mkdir()
    (outside / "target").write_bytes(record(1).body)
    (folder / "s/1.json").symlink_to(outside / "target")
    with pytest.raises(PartialFailure) as caught:
        await write(archive, [record(1)])
    assert isinstance(caught.value.errors[0], Conflict)
    assert sorted(outside.iterdir()) == [outside / "target"]


@in_loop
async def test_a_missing_parent_folder_is_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="mount what belongs there"):
        await sink(tmp_path / "not/mounted").open()


def test_a_folder_that_vanishes_holds_the_lane_and_heals(folder: Path) -> None:
    archive = sink(folder)
    anyio.run(archive.open)
    away = folder.rename(folder.parent / "away")
    folder.mkdir()
    with pytest.raises(Misconfigured, match="is gone; mount"):
        anyio.run(write, archive, [record(1)])
    assert files(folder) == {}
    folder.rmdir()
    away.rename(folder)
    assert anyio.run(write, archive, [record(1)]) == "1 created"


@in_loop
async def test_only_old_unfinished_files_of_ours_are_cleaned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await sink(folder).open()
    left = folder / TEMPORARY / "1-abc.tmp"
    left.write_bytes(b"half")
    other = folder / TEMPORARY / "notes.txt"
    other.write_bytes(b"theirs")
    await sink(folder).open()
    assert left.exists()
    later = time.time() + 4000
    monkeypatch.setattr(time, "time", lambda: later)
    await sink(folder).open()
    assert (left.exists(), other.exists()) == (False, True)


@in_loop
async def test_a_file_system_without_hard_links_still_never_overwrites(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    archive = sink(folder, key="s/{scan_id}.json")
    await archive.open()
    assert await write(archive, [record(1)]) == "1 created"
    assert await write(archive, [record(1)]) == "1 present"
    with pytest.raises(PartialFailure):
        await write(archive, [record(2, body(1, note="other"), scan_id=1)])
    assert files(folder) == {"s/1.json": record(1).body}


@in_loop
async def test_a_files_time_is_that_of_its_journalling(folder: Path) -> None:
    archive = sink(folder, key="s/{scan_id}.json")
    await archive.open()
    await write(archive, [record(1)])
    assert (folder / "s/1.json").stat().st_mtime == record(1).received_at


@in_loop
async def test_a_full_disk_passes_and_leaves_no_half_file(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "256k") as place:
        archive = sink(place, key="s/{scan_id}.json")
        await archive.open()
        with pytest.raises(Transient) as caught:
            await write(archive, [record(1, body(1, audio="x" * 400_000))])
        assert caught.value.applied == "no"
        assert files(place) == {}
        await write(archive, [record(2)])
        assert files(place) == {"s/2.json": record(2).body}


@in_loop
async def test_a_read_only_file_system_is_for_the_operator(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "fixed") as place:
        archive = sink(place, key="s/{scan_id}.json")
        await archive.open()
        make_read_only(place)
        with pytest.raises(Misconfigured, match="Read-only"):
            await write(archive, [record(1)])


WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from scribe_connectors.file._folder import Folder
    folder = Folder(Path(sys.argv[1]))
    folder.open()
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        folder.create(f"s/{sys.argv[2]}-{number}.bin", bytes([number % 251]) * 300_000, 1.0)
    """
)


def test_killed_in_the_middle_of_a_write_it_leaves_no_half_file(folder: Path) -> None:
    dice, unfinished = random.Random(7), 0
    for turn in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(turn)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        with writer.stdout as output:
            assert output.readline() == b"ready\n"
            time.sleep(dice.uniform(0.005, 0.05))
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        unfinished = len(list((folder / TEMPORARY).iterdir()))
    stored = {name: data for name, data in files(folder).items() if not name.startswith(TEMPORARY)}
    assert stored
    assert unfinished, "no kill hit a write"
    for name, data in stored.items():
        number = int(name.removesuffix(".bin").rsplit("-", 1)[1])
        assert data == bytes([number % 251]) * 300_000, name


def test_a_file_counts_only_once_it_and_its_folders_are_synced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Folder(folder)
    place.open()
    calls: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(opened: int) -> None:
        calls.append("sync " + str(Path(f"/proc/self/fd/{opened}").readlink()).removeprefix(str(folder)))
        real_fsync(opened)

    def link(*args: Any, **kwargs: Any) -> None:
        calls.append("link")
        real_link(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    place.create("a/b/one", b"1", 1.0)
    names = [name if TEMPORARY not in name else "sync file" for name in calls]
    assert names == ["sync file", "sync ", "sync /a", "link", "sync /a/b"]
    calls.clear()
    place.create("a/b/two", b"2", 1.0)
    assert len(calls) == 3
