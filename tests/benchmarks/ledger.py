"""The ledger alone: seven destinations, everything of a batch grouped into the commit of the next ingest."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.scans import incoming, numbered

from scribe_export.journal.batches import SealedBatch
from scribe_export.journal.collect import Collector
from scribe_export.journal.destinations import register
from scribe_export.journal.ingest import ConflictMasks, ingest
from scribe_export.journal.opening import open_journal
from scribe_export.journal.seal import seal
from scribe_export.journal.settle import delivered

DESTINATIONS = 7
SCANS = 20_000


def main(group: int) -> dict[str, float]:
    """CPU microseconds a scan to journal, seal, settle and collect, `group` scans a commit."""
    folder = tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))
    with folder as path:
        journal = open_journal(Path(path))
        database = journal.database
        with database.transaction():
            register(database, [f"d{number}" for number in range(DESTINATIONS)])
        scans = incoming(SCANS, mask=2**DESTINATIONS - 1)
        collector = Collector()
        conflicts = ConflictMasks()
        shape = {"key": "scans/{batch_id}.jsonl", "format": "jsonl"}
        started, commits = time.process_time(), []
        sealed: list[SealedBatch] = []
        for start in range(0, SCANS, group):
            group_started = time.perf_counter()
            batch = scans[start : start + group]
            database.begin()
            results = ingest(database, batch, conflicts=conflicts)
            for one in sealed:
                delivered(database, one, "an answer")
            records = numbered(batch, results)
            sealed = [
                made
                for destination in range(DESTINATIONS)
                for made in seal(
                    database,
                    destination,
                    {"scans/{batch_id}.jsonl": records},
                    upto=records[-1].seq,
                    shape=shape,
                    by_record=False,
                )
            ]
            database.commit()
            commits.append(time.perf_counter() - group_started)
            if start % 2000 == 0:
                more = True
                while more:
                    with database.transaction():
                        more = collector.collect(database)
        spent = time.process_time() - started
        journal.close()
    return {"cpu": spent / SCANS * 1e6}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1])), sys.stdout)
