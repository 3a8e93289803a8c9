"""``make mutants``: every seeded mutant has to make the one test fail that it names. ``MUTANT=name`` tries one alone.

First the named tests have to pass on the tree as it is. Ends with 1 unless every mutant is killed.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from mutants.mutant import ROOT, Mutant
from mutants.registry import MUTANTS
from mutants.trial import SOURCE_ROOTS, run_tests, tried

AT_ONCE = 2
BASELINE_SECONDS = 600


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants of these names, or all."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a mutant; all if none is named")
    parser.add_argument("--list", action="store_true", help="only tell the mutants and their promises")
    asked = parser.parse_args(arguments)
    known = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no mutant is called {', '.join(unknown)}; --list tells all")
    chosen = [known[name] for name in asked.names] or list(MUTANTS)
    if asked.list:
        for mutant in chosen:
            print(f"{mutant.name} ({mutant.rule}): {mutant.promise}")
        return 0
    return 0 if _sound(chosen) and _all_killed(chosen) else 1


def _sound(chosen: Sequence[Mutant]) -> bool:
    """Whether every named test passes on the tree as it is."""
    tests = sorted({mutant.test for mutant in chosen})
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        spread = ["-n", str(AT_ONCE), "--dist", "loadfile"] if len(tests) > AT_ONCE else []
        outcomes = run_tests(
            tests, [ROOT / root for root in SOURCE_ROOTS], Path(folder), seconds=BASELINE_SECONDS, options=spread
        )
    wrong = [outcome for outcome in outcomes if outcome.state != "passed"]
    if len(outcomes) - len(wrong) < len(tests) or wrong:
        for outcome in wrong:
            print(f"without any mutant: {outcome.state}: {outcome.detail}")
        print(f"{len(outcomes) - len(wrong)} of {len(tests)} named tests pass on the tree as it is: nothing was tried")
        return False
    print(f"{len(tests)} named tests pass on the tree as it is", flush=True)
    return True


def _all_killed(chosen: Sequence[Mutant]) -> bool:
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for ended in as_completed([pool.submit(tried, mutant) for mutant in chosen]):
            verdict = ended.result()
            counts[verdict.state] += 1
            mutant = verdict.mutant
            if verdict.state == "killed":
                print(f"killed         {mutant.name} by {mutant.test}: {verdict.detail[:110]}", flush=True)
            else:
                print(
                    f"{verdict.state:14} {mutant.name} ({mutant.rule}: {mutant.promise}): {verdict.detail}", flush=True
                )
    print(", ".join(f"{count} {state}" for state, count in counts.most_common()))
    return counts["killed"] == len(chosen)


if __name__ == "__main__":
    sys.exit(main())
