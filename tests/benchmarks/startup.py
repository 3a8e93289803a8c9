"""CPU of the shortest command."""

import json
import os
import resource
import subprocess
import sys


def main() -> dict[str, float]:
    """Milliseconds of user and system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "scribe_export", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"help": spent * 1e3}


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
