"""`make bench`: the figures, each with what it was measured beside in the same run.

CPU microseconds a scan, the median of rounds in which the measured thing and its yardsticks alternate; memory by the
process's own peak. Nothing here passes or fails.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

ROUNDS = 5

Row = tuple[str, str, str]


def measured(part: str, *arguments: str) -> Mapping[str, float]:
    """Run one measurement in a process of its own; it prints one JSON object."""
    command = [sys.executable, "-m", f"benchmarks.{part}", *arguments]
    found: Mapping[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Minimum, median and maximum of each figure."""
    return {
        key: (
            min(one[key] for one in rounds),
            statistics.median(one[key] for one in rounds),
            max(one[key] for one in rounds),
        )
        for key in rounds[0]
    }


def alternated(parts: Mapping[str, Callable[[], Mapping[str, float]]]) -> list[dict[str, float]]:
    """Rounds in which every part has its turn."""
    found = []
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        found.append({key: value for part in parts.values() for key, value in part().items()})
    return found


def show(title: str, figures: Mapping[str, tuple[float, float, float]], unit: str) -> None:
    """A table of figures."""
    print(f"\n{title} ({unit}: minimum, median, maximum of {ROUNDS})")
    for key, (low, middle, high) in figures.items():
        print(f"  {key:58} {low:9.1f} {middle:9.1f} {high:9.1f}")


def main() -> None:
    """Measure everything."""
    rounds = alternated(
        {
            "ledger 100": lambda: measured("ledger", "100"),
            "ledger 10": lambda: measured("ledger", "10"),
            "raw": lambda: measured("raw"),
            "lanes": lambda: measured("lanes"),
        }
    )
    show("CPU a scan of 4.7 KB, seven destinations", medians(rounds), "microseconds")
    starts = [measured("startup") for _ in range(ROUNDS)]
    show("CPU of a start", medians(starts), "milliseconds")
    small, large = measured("memory", "10000"), measured("memory", "1000000")
    print("\nMemory while scans wait for a destination that is down (MiB, resident)")
    print(f"  10,000 waiting    {small['rss']:9.1f}")
    print(f"  1,000,000 waiting {large['rss']:9.1f}")
    print(f"  difference        {large['rss'] - small['rss']:9.1f}")
    subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.clouds"], check=True)


if __name__ == "__main__":
    main()
