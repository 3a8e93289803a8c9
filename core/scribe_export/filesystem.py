"""What kind of disk a path lies on."""

from pathlib import Path

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.s3fs"})


def network_filesystem(path: Path) -> str:
    """The type of the network filesystem that holds `path`, where SQLite's locks do not hold; empty for a local disk.

    https://www.sqlite.org/faq.html#q5
    """
    kind = filesystem_of(path)
    return kind if kind in _NETWORK else ""


def filesystem_of(path: Path) -> str:
    """The type of the filesystem that holds `path`; empty where the system does not say (macOS)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
