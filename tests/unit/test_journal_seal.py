"""What is frozen at sealing is the same at every attempt, in this process and after a restart."""

import json
from pathlib import Path

from support import journals

from scribe_export.journal.batches import batches


def test_a_shape_is_the_same_to_the_last_byte_when_it_is_read_back(tmp_path: Path) -> None:
    shape = {"uri": "s3://b/k", "attributes": {"z": "{material}", "a": ("x", "y")}}
    with journals.opened(tmp_path) as db:
        journals.destinations(db, "one")
        journals.journalled(db, journals.new_scan(1))
        (now,) = journals.sealed(db, 0, shape=shape)
    with journals.opened(tmp_path) as db:
        (later,) = batches(db)
    assert json.dumps(now.shape) == json.dumps(later.shape)
    assert later.shape == {"uri": "s3://b/k", "attributes": {"z": "{material}", "a": ["x", "y"]}}


def test_no_two_journals_name_their_batches_alike(tmp_path: Path) -> None:
    names: set[str] = set()
    for host in ("a", "b"):
        with journals.opened(tmp_path / host) as db:
            journals.destinations(db, "one")
            journals.journalled(db, journals.new_scan(1))
            names.update(batch.batch_id for batch in journals.sealed(db, 0))
    assert len(names) == 2
