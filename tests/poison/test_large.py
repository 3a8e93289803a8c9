"""Scans of 50 MB, as audio of a quarter of an hour makes them: delivered where they fit, and memory stays bounded.

Every lane holds what it sends, so that the bound is one for a few destinations, not for any number of them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import places
from support.corpus import large_scan
from support.objects import contents
from support.oracle import small_scan
from support.pipeline import Pipeline
from support.poisoned import MOST_MEMORY, check_held, letters
from support.usage import ended

from scribe_local import servers

pytestmark = [pytest.mark.fault("F-33"), pytest.mark.slow, pytest.mark.timeout(400)]
SIZE = 50 * 2**20
GOOD = [small_scan(number) for number in range(1, 21)]


@dataclass(frozen=True)
class Kept:
    """`held` gives bodies; None where the destination refuses the large scan, or has a form of its own."""

    options: Mapping[str, Any]
    held: Callable[[], list[bytes]] | None = None
    refuses: bool = False


def _file(folder: Path, key: str, **more: Any) -> Kept:
    def held() -> list[bytes]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return [body for path in files for body in contents(path.name, path.read_bytes())]

    return Kept({"type": "file", "directory": str(folder), "key": key, **more}, held)


@contextmanager
def files(folder: Path, _: servers.LocalServer) -> Iterator[dict[str, Kept]]:
    yield {
        "each": _file(folder / "a", "each/{scan_id}.json"),
        "lines": _file(folder / "b", "lines/{batch_id}.{ext}", compression="zstd"),
    }


@contextmanager
def columns(folder: Path, _: servers.LocalServer) -> Iterator[dict[str, Kept]]:
    yield {"columns": _file(folder / "c", "columns/{batch_id}.{ext}", format="parquet")}


@contextmanager
def bucket(_: Path, server: servers.LocalServer) -> Iterator[dict[str, Kept]]:
    with places.s3(server, "scans/{scan_id}.json") as place:
        yield {"bucket": Kept(place.destination, place.held)}


@contextmanager
def messages(_: Path, server: servers.LocalServer) -> Iterator[dict[str, Kept]]:
    with places.sqs(server) as queue, places.dynamodb(server, item="guide") as table:
        yield {"queue": Kept(queue.destination, refuses=True), "table": Kept(table.destination)}


@pytest.mark.parametrize("made", [files, columns, bucket, messages])
def test_fifty_megabytes_are_delivered_in_bounded_memory_and_so_is_what_comes_behind(
    tmp_path: Path, ministack: servers.LocalServer, made: Any
) -> None:
    large = large_scan("large", SIZE)
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out").mkdir()
    (folder / "0.jsonl").write_bytes(b"\n".join(GOOD[:10]))
    (folder / "1.json").write_bytes(large)
    (folder / "2-spaced.json").write_bytes(large.replace(b'"response": ', b'"response":  '))
    (folder / "3-other.json").write_bytes(large.replace(b"0.123456]", b"0.123457]"))
    (folder / "4.jsonl").write_bytes(b"\n".join(GOOD[10:]))
    with made(tmp_path / "out", ministack) as kept:
        destinations = {name: {"batch": {"max_age": "60s"}, **one.options} for name, one in kept.items()}
        sources = {"in": {"type": "file", "path": "in/*"}}
        with Pipeline(tmp_path, destinations, sources=sources) as pipeline:
            run = pipeline.start("--until-idle", "--max-wait", "200s")
            usage = ended(run, 220)
            rows = pipeline.status()
            found = sorted((name, kind) for (_, name), (kind, _) in letters(pipeline.path).items())
        for one in kept.values():
            if one.held:
                check_held(one.held(), [*GOOD, large])
    wanted = [(name, "conflict") for name in kept]
    assert set(found) - set(wanted) == set()
    assert {name: row.delivered for name, row in rows.items()} == {
        name: len(GOOD) + (not one.refuses) for name, one in kept.items()
    }
    assert usage.peak < MOST_MEMORY, f"{usage.peak:.0f} MiB"
    assert usage.seconds < 30
