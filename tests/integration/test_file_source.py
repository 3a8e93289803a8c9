import gzip
import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
import zstandard
from structlog.testing import capture_logs
from support.loop import in_loop
from support.records import Journalled, body, record, write

from scribe_connectors.file import FileSink, FileSinkOptions, FileSource, FileSourceOptions
from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Context
from scribe_export.model import Delivery


def source(folder: Path, path: str = "**/*.json*", *, once: bool = True, **options: Any) -> FileSource:
    given = {"path": path, **options}
    return FileSource(FileSourceOptions.model_validate(given), Context("files", folder=folder, once=once))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    return made


def line(number: int) -> bytes:
    return body(number) + b"\n"


@in_loop
async def test_documents_lines_and_both_compressed_are_read(place: Path) -> None:
    (place / "a").mkdir()
    (place / "a/1.json").write_bytes(body(1))
    (place / "a/2.json.gz").write_bytes(gzip.compress(body(2)))
    (place / "3.jsonl").write_bytes(line(3) + b"\n" + line(4))
    (place / "5.jsonl.zst").write_bytes(zstandard.compress(line(5) + line(6)))
    journal = Journalled()
    await journal.take_all(source(place))
    assert sorted(journal.ids()) == ["1", "2", "3", "4", "5", "6"]
    assert "3.jsonl:3" in journal.origins
    assert await journal.take_all(source(place)) == []


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst"])
def test_a_big_file_is_taken_in_pieces_and_resumed_where_it_stopped(place: Path, name: str) -> None:
    @in_loop
    async def check() -> None:
        content = b"".join(line(n) for n in range(1, 2001))
        if name.endswith(".gz"):
            content = gzip.compress(content)
        elif name.endswith(".zst"):
            content = zstandard.compress(content)
        (place / name).write_bytes(content)
        journal = Journalled()
        taken = source(place).deliveries(journal)
        for _ in range(2):
            delivery = await anext(taken)
            assert len(delivery.incoming) <= 500
            await journal.take(delivery)
        await taken.aclose()  # type: ignore[attr-defined]
        await journal.take_all(source(place))
        assert journal.ids() == [str(n) for n in range(1, 2001)]

    check()


@in_loop
async def test_appended_lines_are_taken_alone(place: Path) -> None:
    log = place / "log.jsonl"
    log.write_bytes(line(1) + line(2))
    journal = Journalled()
    await journal.take_all(source(place))
    with log.open("ab") as stream:
        stream.write(line(3))
    assert await journal.take_all(source(place)) == [body(3)]


@pytest.mark.parametrize("replaced", [line(7) + line(8) + line(9), line(7)])
def test_a_replaced_or_shortened_file_is_read_from_its_start(place: Path, replaced: bytes) -> None:
    @in_loop
    async def check() -> None:
        log = place / "log.jsonl"
        log.write_bytes(line(1) + line(2))
        journal = Journalled()
        await journal.take_all(source(place))
        log.write_bytes(replaced)
        assert await journal.take_all(source(place)) == replaced.splitlines()

    check()


@in_loop
async def test_a_document_that_changed_is_taken_again(place: Path) -> None:
    journal = Journalled()
    (place / "1.json").write_bytes(body(1))
    await journal.take_all(source(place))
    (place / "1.json").write_bytes(body(1, note="new"))
    assert await journal.take_all(source(place)) == [body(1, note="new")]


@in_loop
async def test_files_that_come_late_are_found_wherever_they_sort(place: Path) -> None:
    journal = Journalled()
    (place / "m.json").write_bytes(body(1))
    await journal.take_all(source(place))
    (place / "a.json").write_bytes(body(2))
    (place / "z.json").write_bytes(body(3))
    assert await journal.take_all(source(place)) == [body(2), body(3)]


@in_loop
async def test_a_half_written_line_waits_while_following_and_is_taken_at_the_end(place: Path) -> None:
    log = place / "log.jsonl"
    log.write_bytes(line(1) + body(2)[:20])
    journal = Journalled()
    following = source(place, once=False, poll_interval=0.01).deliveries(journal)
    await journal.take(await anext(following))
    assert journal.bodies == [body(1)]
    with log.open("ab") as stream:
        stream.write(body(2)[20:] + b"\n" + body(3)[:9])
    with anyio.fail_after(10):
        await journal.take(await anext(following))
    assert journal.bodies == [body(1), body(2)]
    await following.aclose()  # type: ignore[attr-defined]
    assert await journal.take_all(source(place)) == [body(3)[:9]]
    assert await journal.take_all(source(place)) == []
    with log.open("ab") as stream:
        stream.write(body(3)[9:] + b"\n")
    assert await journal.take_all(source(place)) == [body(3)]


@in_loop
async def test_a_whole_last_line_without_its_newline_is_taken_at_once(place: Path) -> None:
    (place / "log.jsonl").write_bytes(line(1) + body(2))
    journal = Journalled()
    following = source(place, once=False).deliveries(journal)
    await journal.take(await anext(following))
    await following.aclose()  # type: ignore[attr-defined]
    assert journal.bodies == [body(1), body(2)]


@in_loop
async def test_a_half_written_document_is_not_taken_while_it_grows(place: Path) -> None:
    (place / "1.json").write_bytes(body(1)[:30])
    (place / "2.json").write_bytes(body(2))
    journal = Journalled()
    following = source(place, once=False, poll_interval=0.01).deliveries(journal)
    await journal.take(await anext(following))
    assert journal.bodies == [body(2)]
    (place / "1.json").write_bytes(body(1))
    with anyio.fail_after(10):
        await journal.take(await anext(following))
    assert journal.bodies[-1] in {body(1), body(1)[:30]}
    await following.aclose()  # type: ignore[attr-defined]


@in_loop
async def test_what_was_not_taken_comes_again(place: Path) -> None:
    (place / "x.jsonl").write_bytes(b"".join(line(n) for n in range(1, 1201)))
    journal = Journalled()
    taken = source(place).deliveries(journal)
    await journal.take(await anext(taken))
    await (await anext(taken)).nack()
    with pytest.raises(Transient):
        await anext(taken)
    await journal.take_all(source(place))
    assert journal.ids() == [str(n) for n in range(1, 1201)]


@in_loop
async def test_no_second_piece_of_a_file_is_handed_over_before_the_first_is_settled(place: Path) -> None:
    (place / "x.jsonl").write_bytes(b"".join(line(n) for n in range(1, 1201)))
    journal = Journalled()
    taken = source(place).deliveries(journal)
    first = await anext(taken)
    second: list[Delivery] = []

    async def ask() -> None:
        second.append(await anext(taken))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert second == []
        await journal.take(first)
    await second[0].nack()
    await taken.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("spoil", ["cut", "flip", "garbage"])
def test_a_damaged_file_gives_only_what_is_surely_right_and_stops_no_other(place: Path, spoil: str) -> None:
    @in_loop
    async def check() -> None:
        content = b"".join(body(n, noise=os.urandom(200).hex()) + b"\n" for n in range(1, 801))
        stored = bytearray(gzip.compress(content))
        if spoil == "cut":
            stored = stored[: len(stored) // 2]
        elif spoil == "flip":
            stored[len(stored) // 2] ^= 0xFF
        else:
            stored = bytearray(b"no gzip at all")
        (place / "a.jsonl.gz").write_bytes(stored)
        (place / "b.json").write_bytes(body(9000))
        (place / "c.json.gz").write_bytes(gzip.compress(body(9001))[:-3])
        journal = Journalled()
        with capture_logs() as logs:
            await journal.take_all(source(place))
        assert "9000" in journal.ids()
        assert (len(journal.ids()) > 100) == (spoil == "cut")
        assert {(one["alarm"], one["origin"]) for one in logs} == {
            ("unreadable", "a.jsonl.gz"),
            ("unreadable", "c.json.gz"),
        }

    check()


@in_loop
async def test_a_line_too_long_is_named_and_passed_over(place: Path) -> None:
    (place / "x.jsonl").write_bytes(line(1) + body(2, audio="x" * 3_000_000) + b"\n" + line(3))
    (place / "y.json").write_bytes(body(4, audio="x" * 3000))
    journal, reading = Journalled(), source(place, max_record=2000)
    with capture_logs() as logs:
        await journal.take_all(reading)
    assert journal.ids() == ["1", "3"]
    assert (reading.gaps, reading.last_gap and reading.last_gap.what.partition(" was")[0]) == (2, "y.json")
    assert [(one["alarm"], one["origin"]) for one in logs] == [("too_long", "x.jsonl:2"), ("unreadable", "y.json")]
    with (place / "x.jsonl").open("ab") as stream:
        stream.write(line(5))
    assert await journal.take_all(source(place, max_record=2000)) == [body(5)]


@in_loop
async def test_links_are_followed_only_within_the_folder(place: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(body(1))
    (place / "out.json").symlink_to(tmp_path / "secret.json")
    (place / "up").symlink_to(tmp_path)
    (place / "2.json").write_bytes(body(2))
    (place / "sub").mkdir()
    (place / "sub/in.json").symlink_to(place / "2.json")
    (place / ".hidden.json").write_bytes(body(3))
    os.mkfifo(place / "pipe.json")
    journal = Journalled()
    await journal.take_all(source(place))
    assert journal.ids() == ["2", "2"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("*.json", ["1"]),
        ("*/*.json", ["2"]),
        ("a/**/*.json", ["2", "3"]),
        ("**/[!1].json", ["2", "3"]),
        ("a/b/3.json", ["3"]),
        ("**", ["1", "2", "3"]),
        ("?.jsonl", []),
    ],
)
def test_a_glob_names_what_it_says(place: Path, path: str, expected: list[str]) -> None:
    (place / "a/b").mkdir(parents=True)
    (place / "1.json").write_bytes(body(1))
    (place / "a/2.json").write_bytes(body(2))
    (place / "a/b/3.json").write_bytes(body(3))
    journal = Journalled()
    anyio.run(journal.take_all, source(place, path))
    assert sorted(journal.ids()) == expected


@in_loop
async def test_a_missing_folder_is_for_the_operator(place: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        await Journalled().take_all(source(place / "nowhere", "*.json"))


@pytest.mark.parametrize(("key", "compression"), [("s/{scan_id}.{ext}", "zstd"), ("l/{batch_id}.{ext}", "gzip")])
def test_what_the_sink_wrote_is_read_back(tmp_path: Path, key: str, compression: str) -> None:
    @in_loop
    async def check() -> None:
        given = {"directory": "kept", "key": key, "compression": compression}
        archive = FileSink(FileSinkOptions.model_validate(given), Context("archive", folder=tmp_path))
        await archive.open()
        await write(archive, [record(n) for n in range(1, 51)])
        journal = Journalled()
        await journal.take_all(source(tmp_path, "kept/**/*.json*"))
        assert sorted(journal.bodies) == sorted(record(n).body for n in range(1, 51))

    check()


def test_names_of_any_bytes_have_a_checkpoint(place: Path) -> None:
    Path(os.fsdecode(os.fsencode(place) + b"/\xff\xfe.json")).write_bytes(body(1))
    journal = Journalled()
    anyio.run(journal.take_all, source(place))
    json.dumps(journal.notes).encode()
    assert journal.ids() == ["1"]
    assert anyio.run(journal.take_all, source(place)) == []
