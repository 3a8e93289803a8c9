"""Regular files under a pattern, without leaving its folder."""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class FileFound:
    """A file: `path` to open, `relative` to the pattern's root with forward slashes, `state` of what it holds."""

    path: str
    relative: str
    state: os.stat_result


class Pattern:
    """A path with ``*``, ``?``, ``[…]`` within a name and ``**`` for any folders; `root` is the part without."""

    def __init__(self, path: Path) -> None:
        parts = path.parts
        wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), len(parts) - 1)
        self.root = Path(*parts[:wild])
        rest = parts[wild:]
        self._depth = None if "**" in rest else len(rest)
        self._parts = rest
        self._hidden = any(part.startswith(".") for part in rest)

    def find(self) -> Iterator[FileFound]:
        """The matching files in the order of their paths; raises OSError if the root cannot be listed.

        Names that begin with a dot match only a pattern that has one. Links to folders are not followed, links to
        files only to those within the root.
        """
        yield from self._find(os.path.realpath(self.root), "", 1)

    def _find(self, folder: str, prefix: str, depth: int) -> Iterator[FileFound]:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            if not prefix:
                raise
            return
        for name in names:
            if name.startswith(".") and not self._hidden:
                continue
            path, relative = f"{folder}/{name}", prefix + name
            try:
                state = Path(path).lstat()
                if stat.S_ISDIR(state.st_mode):
                    if self._depth is None or depth < self._depth:
                        yield from self._find(path, relative + "/", depth + 1)
                    continue
                if stat.S_ISLNK(state.st_mode):
                    path = os.path.realpath(path)
                    state = Path(path).stat()
                    if not path.startswith(os.path.realpath(self.root) + "/"):
                        continue
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and _matches(tuple(relative.split("/")), self._parts):
                yield FileFound(path, relative, state)


def _matches(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return len(parts) == 1 or any(_matches(names[i:], parts[1:]) for i in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])
