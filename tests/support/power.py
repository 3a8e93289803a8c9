"""A power cut, rebuilt from a program's system calls: what was synced is on the disk, and of the rest any part.

The model is as strict as POSIX lets a disk be. Of a file's unsynced writes each 512-byte sector is there, half there or
not, in any order, and the file is as long as it was at any moment since its last sync. A name that was made, moved or
removed is so for certain only once its folder was synced. SQLite itself asks for no more
(https://sqlite.org/atomiccommit.html, sections 2 and 9).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from support.tracing import Call

SECTOR = 512
TRACED = (
    "openat,close,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,"
    "renameat2,link,linkat,creat,writev,pwritev,symlink,copy_file_range,sendfile"
)
"""What the model knows, and what it must not miss."""
OPTIONS = ("-xx", "-s", "4000000")
"""For strace: every string whole, and in hexadecimal digits."""
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH = re.compile(r'(?:<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"')
"""A path, and the folder that it starts at if the call names one."""
_NAMING = {
    "mkdir": "make", "mkdirat": "make", "rmdir": "remove", "unlink": "remove", "unlinkat": "remove", "rename": "move",
    "renameat": "move", "renameat2": "move", "link": "link", "linkat": "link",
}  # fmt: skip
_NUMBER = re.compile(r"^(\d+)<")
_RESULT = re.compile(r"\) += (-?\d+)")


@dataclass(slots=True, eq=False)
class File:
    """`pending` holds what no sync has covered: offset, bytes and when it was done; no bytes set the length."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None, int]] = field(default_factory=list)
    size: int = 0

    def change(self, offset: int, data: bytes | None, done: int) -> None:
        """Write, or set the length."""
        self.pending.append((offset, data, done))
        self.size = offset if data is None else max(self.size, offset + len(data))

    def sync(self, begun: int) -> None:
        """What was done before is on the disk."""
        for offset, data, _ in [one for one in self.pending if one[2] < begun]:
            _apply(self.durable, offset, data)
        self.pending = [one for one in self.pending if one[2] >= begun]

    def after_cut(self, rng: Random, kept: float) -> bytes:
        """Its content then; `kept` is the share of sectors that came through."""
        content, sizes = bytearray(self.durable), [len(self.durable)]
        for offset, data, _ in self.pending:
            sizes.append(offset if data is None else max(sizes[-1], offset + len(data)))
            start = 0
            while data is not None and start < len(data):
                end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
                if rng.random() < kept:
                    torn = rng.randrange(start, end) if rng.random() < 0.1 and kept < 1 else end
                    _apply(content, offset + start, data[start:torn])
                start = end
        size = sizes[-1] if kept == 1 else rng.choice(sizes) if kept else sizes[0]
        _apply(content, size, None)
        return bytes(content)


@dataclass(slots=True, eq=False)
class Folder:
    """`pending` holds changes of names that no sync has covered, and when they were done."""

    live: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[str, "File | Folder | None", int]] = field(default_factory=list)

    def name(self, name: str, node: "File | Folder | None", done: int) -> None:
        """Give a name to a file or folder, or to nothing any more."""
        _put(self.live, name, node)
        self.pending.append((name, node, done))

    def sync(self, begun: int) -> None:
        """What was done before is on the disk."""
        for name, node, _ in [one for one in self.pending if one[2] < begun]:
            _put(self.durable, name, node)
        self.pending = [one for one in self.pending if one[2] >= begun]

    def rebuild(self, there: Path, rng: Random, kept: float) -> None:
        """Write what is left after a cut into a new folder."""
        there.mkdir(mode=0o700)
        names = dict(self.durable)
        changes: dict[str, list[File | Folder | None]] = defaultdict(list)
        for name, node, _ in self.pending:
            changes[name].append(node)
        for name, nodes in changes.items():
            for node in nodes if kept == 1 else nodes[: rng.randrange(len(nodes) + 1)] if kept else []:
                _put(names, name, node)
        for name, node in names.items():
            if isinstance(node, Folder):
                node.rebuild(there / name, rng, kept)
            else:
                (there / name).write_bytes(node.after_cut(rng, kept))
                (there / name).chmod(0o600)


def _put(names: dict[str, File | Folder], name: str, node: File | Folder | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    end = offset + len(data or b"")
    if data is None:
        del content[offset:]
    if len(content) < end:
        content.extend(b"\0" * (end - len(content)))
    if data:
        content[offset:end] = data


class Disk:
    """What a program did below a folder, one call after another; the folder itself was there and empty."""

    def __init__(self, root: Path) -> None:
        self.root = Folder()
        self._path = root
        self._open: dict[int, File | Folder] = {}
        self._offsets: dict[int, int] = defaultdict(int)

    def events(self, trace: Sequence[Call]) -> Iterator[int]:
        """Do every call at its moment: a write when it begins, a sync when it comes back; yields each moment."""
        for moment, call in sorted(((_moment(call), call) for call in trace), key=lambda one: one[0]):
            if not call.failed and call.done is not None:
                self._do(call)
            yield moment

    def cut(self, there: Path, rng: Random) -> None:
        """Write what would be found after a cut now: nothing, all or some of what was not synced."""
        self.root.rebuild(there, rng, rng.choice([0.0, 0.2, 0.5, 0.8, 1.0]))

    def _do(self, call: Call) -> None:
        number = _NUMBER.match(call.text)
        handle = int(number[1]) if number else -1
        if call.name == "openat":
            self._opened(call, call.done or 0)
        elif call.name == "close":
            self._open.pop(handle, None)
        elif call.name in _NAMING:
            self._named(call, call.done or 0)
        elif handle in self._open:
            self._changed(call, self._open[handle], handle)
        elif handle < 0:
            assert not any(self._below(path) for path in _paths(call)), f"{call.name} is not modelled"

    def _opened(self, call: Call, done: int) -> None:
        path = _paths(call)[0]
        found = self._below(path)
        handle = int(_RESULT.findall(call.text)[-1])
        self._open.pop(handle, None)
        if path == self._path:
            self._open[handle] = self.root
        if found is None:
            return
        folder, name = found
        node = folder.live.get(name)
        if node is None:
            node = File()
            folder.name(name, node, done)
        if "O_TRUNC" in call.text and isinstance(node, File):
            node.change(0, None, done)
        self._open[handle] = node
        self._offsets[handle] = 0

    def _changed(self, call: Call, node: File | Folder, handle: int) -> None:
        done, arguments = call.done or 0, call.text[: call.text.rindex(") ")].split(",")
        if call.name in {"fsync", "fdatasync"}:
            node.sync(call.begun)
        elif isinstance(node, Folder):
            raise AssertionError(f"{call.name} of a folder is not modelled")
        elif call.name == "pwrite64":
            node.change(int(arguments[-1]), _bytes(_STRING.findall(call.text)[0]), done)
        elif call.name == "write":
            data = _bytes(_STRING.findall(call.text)[0])
            node.change(self._offsets[handle], data, done)
            self._offsets[handle] += len(data)
        elif call.name == "ftruncate":
            node.change(int(arguments[-1]), None, done)
        else:
            assert call.name == "fallocate", f"{call.name} is not modelled"
            node.change(int(arguments[-2]) + int(arguments[-1]), b"", done)

    def _named(self, call: Call, done: int) -> None:
        places = [self._below(path) for path in _paths(call)]
        first = places[0]
        if first is None:
            assert not any(places), f"{call.name} from outside is not modelled"
            return
        folder, name = first
        doing = _NAMING[call.name]
        if doing in {"move", "link"}:
            assert places[1] is not None, f"{call.name} to outside is not modelled"
            target, new = places[1]
            target.name(new, folder.live[name], done)
        if doing != "link":
            folder.name(name, Folder() if doing == "make" else None, done)

    def _below(self, path: Path) -> tuple[Folder, str] | None:
        try:
            *folders, name = path.relative_to(self._path).parts
        except ValueError:  # elsewhere, or the folder itself
            return None
        found: File | Folder | None = self.root
        for part in folders:
            found = found.live.get(part) if isinstance(found, Folder) else None
        return (found, name) if isinstance(found, Folder) else None


def _bytes(digits: str) -> bytes:
    return bytes.fromhex(digits.replace("\\x", ""))


def _paths(call: Call) -> list[Path]:
    return [Path(_bytes(start).decode()) / _bytes(path).decode() for start, path in _PATH.findall(call.text)]


def _moment(call: Call) -> int:
    """A descriptor is another's as soon as it is closed, and a file is open only when the call came back."""
    ends = call.name in {"fsync", "fdatasync", "openat"}
    return call.done if ends and call.done is not None else call.begun
