"""What a journal promises whenever it is opened: everything acknowledged is in it, and each body is what it was."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from scribe_export.journal.chain import check_chain
from scribe_export.journal.database import Database
from scribe_export.journal.opening import open_journal


def problems(state: Path, acked: Collection[str]) -> list[str]:
    """What is not as promised in the journal of a state folder, which is opened as a start opens it; empty if all is.

    `acked` are the ids of scans that somebody was told are safe.
    """
    journal = open_journal(state)
    try:
        found = ["taken for damaged"] if journal.recovery else []
        return found + list(_problems(journal.database, acked))
    finally:
        journal.close()


def _problems(db: Database, acked: Collection[str]) -> Iterator[str]:
    run = db.connection.execute
    if (said := run("PRAGMA integrity_check").fetchone()[0]) != "ok":
        yield said
    known = {scan_id for (scan_id,) in run("SELECT scan_id FROM scan")}
    for scan_id in sorted(set(acked) - known):
        yield f"{scan_id} is lost"
    for row in check_chain(db).broken:
        yield f"receipt {row.number}: {row.why}"
    for seq, sha256, body, blob in run("SELECT seq, sha256, bytes, blob FROM scan JOIN body USING(seq)"):
        try:
            content = body if blob is None else db.blobs.read(blob)
        except OSError as error:
            yield f"the body of {seq} is lost: {error}"
        else:
            if hashlib.sha256(content).digest() != sha256:
                yield f"the body of {seq} is altered"
    held = run(
        "SELECT destination.name, seq FROM scan, destination WHERE routes >> destination.id & 1"
        " AND seq > sealed_seq AND seq NOT IN (SELECT seq FROM body)"
    )
    for name, seq in held:
        yield f"{name} still needs the body of {seq}"
    batches = run(
        "SELECT batch_id, count, (SELECT count(*) FROM member WHERE batch = batch.id) FROM batch WHERE explicit"
    )
    for batch_id, count, members in batches:
        if count != members:
            yield f"batch {batch_id} has {members} members of {count}"
