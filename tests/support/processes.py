"""What a process has started, seen in /proc (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""

from contextlib import suppress
from pathlib import Path

Identity = tuple[int, str]
"""A pid and its start time: pids are used again, pairs are not."""


def descendants(pid: int) -> dict[Identity, str]:
    """The processes below one, with their command lines."""
    parents: dict[Identity, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = entry.read_text().rpartition(") ")[2].split()
            parents[int(entry.parent.name), fields[19]] = int(fields[1])
    found: dict[Identity, str] = {}
    frontier = {pid}
    while frontier:
        below = {identity for identity, parent in parents.items() if parent in frontier and identity not in found}
        for identity in below:
            with suppress(OSError):
                found[identity] = Path(f"/proc/{identity[0]}/cmdline").read_text().replace("\0", " ")
        frontier = {identity[0] for identity in below}
    return found


def alive(identity: Identity) -> bool:
    """Whether that very process still runs; a zombie does not."""
    try:
        fields = Path(f"/proc/{identity[0]}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return False
    return fields[19] == identity[1] and fields[0] != "Z"
