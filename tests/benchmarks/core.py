"""The framework without a service: the journal, the lanes, memory and a start, beside the machine's own speed."""

from functools import partial
from typing import Any

from benchmarks.measure import ROUNDS, Figures, alternated, child
from benchmarks.names import LANES, LEDGER, RAW, STARTUP


def measure() -> dict[str, Any]:
    """The part of the report."""
    rows = alternated(
        {
            RAW: partial(child, "raw"),
            LEDGER.format(100): partial(child, "ledger", "100"),
            LEDGER.format(10): partial(child, "ledger", "10"),
            LANES: partial(child, "lanes"),
            STARTUP: partial(child, "startup"),
        }
    )
    memory: list[Figures] = [child("memory", "10000"), child("memory", "1000000")]
    return {"rounds": ROUNDS, "rows": rows, "memory": [round(one["rss"], 1) for one in memory]}
