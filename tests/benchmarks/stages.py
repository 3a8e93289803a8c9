"""Where one scan's CPU goes, stage by stage, for each of the seven destinations alone and for all together."""

from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import clouds
from benchmarks.measure import ROUNDS, alternated
from benchmarks.names import ALL, BEHIND, DESTINATIONS, UNWATCHED


def measure() -> dict[str, Any]:
    """The part of the report: each run twice, with the stopwatch and without, so that its own cost is seen."""
    with clouds.furnished() as cloud, ExitStack() as stack:
        way = clouds.ways(cloud, stack, 0.0)
        turns: dict[str, Any] = {}
        for name, only in {**{name: (name,) for name in DESTINATIONS}, ALL: ()}.items():
            turns[name] = partial(clouds.of_ours, cloud, way, only, stages=True)
            turns[UNWATCHED.format(name)] = partial(clouds.of_ours, cloud, way, only)
        turns[BEHIND] = partial(clouds.of_ours, cloud, way, ("s3",), stages=True, behind=True)
        return {"rounds": ROUNDS, "rows": alternated(turns)}
