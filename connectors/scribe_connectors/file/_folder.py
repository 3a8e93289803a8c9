"""Durable files under one folder, each whole or not there, and never outside of it.

A file is written under a temporary name, synced, and linked to its own name, which fails if that is taken. The folder
is synced before the file counts as stored. Temporary files lie in ``.scribe-tmp`` of the same folder, so that what a
crash left is found without looking through the archive.
"""

import ctypes
import errno
import fcntl
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scribe_export.errors import Misconfigured

TEMPORARY = ".scribe-tmp"
_OLD = 3600.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_REMEMBERED = 10_000
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


class Folder:
    """One folder; safe in several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[str] = set()

    def open(self) -> None:
        """Make the folder if its parent is there, and remove temporary files that a crash left over an hour ago."""
        if not self.root.parent.is_dir():
            raise Misconfigured(f"{self.root.parent}: no such folder; create it, or mount what belongs there")
        with suppress(FileExistsError):
            self.root.mkdir()
            _sync(self.root.parent)
        (self.root / TEMPORARY).mkdir(exist_ok=True)
        _sync(self.root)
        self._durable.clear()
        self._clean()

    def _clean(self) -> None:
        with os.scandir(self.root / TEMPORARY) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and entry.name.endswith(".tmp")
                    if ours and time.time() - found.st_ctime > _OLD:
                        Path(entry.path).unlink()

    def create(self, name: str, data: bytes, moment: float) -> os.stat_result | None:
        """Store `data` as `name`, modified at `moment` (seconds since the epoch); None if the name is taken."""
        with self._written(data, moment) as (temporary, found), self._parent(name) as (parent, last):
            try:
                _link(temporary, parent, last)
            except FileExistsError:
                return None
            os.fsync(parent)
            return found

    def replace(self, name: str, data: bytes, moment: float, tag: str) -> os.stat_result | None:
        """Store `data` in place of the file that has this `tag`; None if that is gone or has changed."""
        with self._written(data, moment) as (temporary, found), self._parent(name) as (parent, last), self._alone():
            try:
                if tag_of(os.stat(last, dir_fd=parent, follow_symlinks=False)) != tag:
                    return None
            except FileNotFoundError:
                return None
            os.rename(temporary, last, dst_dir_fd=parent)
            os.fsync(parent)
            return found

    def stat(self, name: str) -> os.stat_result | None:
        """The file's state, of a link itself and not of what it names; None if there is none."""
        with self._parent(name) as (parent, last):
            try:
                return os.stat(last, dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                return None

    def read(self, name: str) -> tuple[bytes, str] | None:
        """The bytes and the tag of a regular file; None for anything else."""
        with self._parent(name) as (parent, last):
            try:
                file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENOENT, errno.ENXIO}:
                    return None
                raise
        with os.fdopen(file, "rb") as stream:
            found = os.fstat(file)
            return (stream.read(), tag_of(found)) if stat.S_ISREG(found.st_mode) else None

    def sync(self, name: str) -> None:
        """Make a file that was found durable, and its name."""
        with self._parent(name) as (parent, last):
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.fsync(file)
            finally:
                os.close(file)
            os.fsync(parent)

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        """The open folder that a file belongs in, made and synced as needed; no symbolic link is followed to it."""
        *folders, last = name.split("/")
        current = os.open(self.root, _FOLDER)
        try:
            for depth, folder in enumerate(folders, start=1):
                current = self._enter(current, "/".join(folders[:depth]), folder)
            yield current, last
        finally:
            os.close(current)

    def _enter(self, parent: int, path: str, folder: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(folder, dir_fd=parent)
        try:
            child = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise Misconfigured(
                    f"{self.root / path} is no folder, and symbolic links are not followed; name the real folder as the "
                    "directory"
                ) from None
            raise
        try:
            # Whoever made it may not have synced its name yet.
            if path not in self._durable:
                os.fsync(parent)
                if len(self._durable) >= _REMEMBERED:
                    self._durable.clear()
                self._durable.add(path)
        except BaseException:
            os.close(child)
            raise
        os.close(parent)
        return child

    @contextmanager
    def _written(self, data: bytes, moment: float) -> Iterator[tuple[Path, os.stat_result]]:
        path = self.root / TEMPORARY / f"{os.getpid()}-{secrets.token_hex(8)}.tmp"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            # It was there at the start, so this is another folder: an empty mount point, most likely.
            raise Misconfigured(
                f"{path.parent} is gone; mount what belongs there, or start anew to begin an archive there"
            ) from None
        try:
            with os.fdopen(file, "wb", buffering=0) as stream:
                rest = memoryview(data)
                while rest:
                    rest = rest[stream.write(rest) :]
                os.utime(file, ns=(time.time_ns(), round(moment * 1e6) * 1000))
                os.fsync(file)
                found = os.fstat(file)
            yield path, found
        finally:
            with suppress(OSError):
                path.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(self.root / TEMPORARY, _FOLDER)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def tag_of(found: os.stat_result) -> str:
    """What tells one state of a file from another."""
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _sync(folder: Path) -> None:
    opened = os.open(folder, _FOLDER)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _link(temporary: Path, parent: int, last: str) -> None:
    try:
        os.link(temporary, last, dst_dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_to_free_name(temporary, parent, last)


def _rename_to_free_name(temporary: Path, parent: int, last: str) -> None:
    # https://man7.org/linux/man-pages/man2/rename.2.html: RENAME_NOREPLACE, where the file system knows it
    libc = ctypes.CDLL(None, use_errno=True)
    if not sys.platform.startswith("linux") or not hasattr(libc, "renameat2"):
        raise Misconfigured(f"{temporary.parent.parent}: this file system has no hard links, which the archive needs")
    result = libc.renameat2(
        _AT_FDCWD, os.fsencode(temporary), parent, os.fsencode(last), ctypes.c_uint(_RENAME_NOREPLACE)
    )
    if result == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        raise FileExistsError(code, os.strerror(code), last)
    if code in {errno.EINVAL, errno.ENOSYS}:
        raise Misconfigured(
            f"{temporary.parent.parent}: this file system has neither hard links nor renames that replace nothing"
        )
    raise OSError(code, os.strerror(code), last)
