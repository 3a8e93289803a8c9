"""Counting what waits, slice by slice and all destinations at once, comes to what a plain count says."""

from pathlib import Path

import pytest
from support.journals import destinations, journalled, new_scan, opened

from scribe_export.journal import unsealed
from scribe_export.journal.database import Database
from scribe_export.journal.unsealed import Unsealed


def _counted(db: Database, counting: Unsealed, sealed: dict[int, int]) -> dict[int, tuple[int, int]]:
    for _ in range(1000):
        if counting.counted(db, sealed):
            return {one: (counting.waiting[one].count, counting.waiting[one].size) for one in sealed}
    raise AssertionError("it never ends")


def _plain(db: Database, sealed: dict[int, int]) -> dict[int, tuple[int, int]]:
    query = "SELECT count(*), coalesce(sum(size), 0) FROM scan WHERE seq > ? AND routes & ?"
    return {one: db.connection.execute(query, (after, 1 << one)).fetchone() for one, after in sealed.items()}


def test_it_comes_to_what_a_plain_count_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsealed, "SLICE", 7)
    counting = Unsealed()
    with opened(tmp_path) as db:
        destinations(db, "a", "b", "c")
        sealed = {0: 0, 1: 10, 2: 33}
        assert _counted(db, counting, sealed) == {0: (0, 0), 1: (0, 0), 2: (0, 0)}
        journalled(db, *(new_scan(number, mask=number % 8) for number in range(1, 61)))
        assert _counted(db, counting, sealed) == _plain(db, sealed)
        journalled(db, *(new_scan(number, mask=5) for number in range(61, 80)))
        assert _counted(db, counting, sealed) == _plain(db, sealed)
        sealed |= {1: 45}
        assert _counted(db, counting, sealed) == _plain(db, sealed)
        assert _counted(db, counting, {2: 33}) == _plain(db, {2: 33})
