"""A journal is checked beside the one who writes it, and holds nothing up there."""

from pathlib import Path

import pytest
from support.journals import body_of, destinations, journalled, new_scan, opened

from scribe_export.journal import checking
from scribe_export.journal.chain import Chain, check_chain
from scribe_export.journal.database import Database


def test_a_long_check_keeps_no_write_ahead_log_from_being_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: list[int] = []
    with opened(tmp_path) as db:
        destinations(db, "lake")
        journalled(db, *(new_scan(number) for number in range(1, 121)))

        def meanwhile(looking: Database) -> Chain:
            journalled(db, new_scan(121, body_of(121, padding="x" * 50_000)))
            busy.append(db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            return check_chain(looking)

        monkeypatch.setattr(checking, "check_chain", meanwhile)
        found = checking.check_journal(tmp_path)
        assert (busy, found.bodies, found.problems) == ([0], 120, ())
        db.connection.execute("UPDATE body SET bytes=x'00' WHERE seq IN (3, 51, 120)")
        monkeypatch.setattr(checking, "check_chain", check_chain)
        assert len(checking.check_journal(tmp_path).problems) == 3
