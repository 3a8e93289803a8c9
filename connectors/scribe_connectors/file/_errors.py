"""What the operating system's errors mean for a delivery."""

import errno
import os

from scribe_export.errors import Misconfigured, Rejected, SinkError, Transient

# https://man7.org/linux/man-pages/man3/errno.3.html
_OPERATOR = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENODEV,
        errno.ENXIO,
        errno.EXDEV,
    }
)
_RECORD = frozenset({errno.ENAMETOOLONG, errno.EFBIG})
_NOTHING_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def classify(error: Exception) -> SinkError | None:
    """An OSError in the framework's terms; None for anything else.

    A full disk passes (somebody makes room), a missing right or folder needs the operator, a name or file that the
    file system cannot take is the record's own.
    """
    if not isinstance(error, OSError) or error.errno is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    message = f"{where}{os.strerror(error.errno)}"
    if error.errno in _OPERATOR:
        return Misconfigured(message)
    if error.errno in _RECORD:
        return Rejected(message, kind="too_large" if error.errno == errno.EFBIG else "name")
    return Transient(message, applied="no" if error.errno in _NOTHING_WRITTEN else "unknown")
