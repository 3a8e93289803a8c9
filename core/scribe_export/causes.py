"""What lies behind an error that a client library has wrapped."""

import os
import socket
import ssl
from collections.abc import Iterable


def causes(error: BaseException | None) -> list[BaseException]:
    """The error, what caused that, and so on."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error = group[-1] if group else error.__cause__ or error.__context__
    return found


def system_words(errors: Iterable[BaseException]) -> str:
    """The system's own words for the deepest error that has them, like "Connection refused"; empty if none has."""
    found = [_words(error) for error in errors if isinstance(error, OSError) and error.errno]
    return found[-1] if found else ""


def _words(error: OSError) -> str:
    # httpx and asyncio wrap the system's own words in theirs; these two have better ones.
    own = isinstance(error, ssl.SSLError | socket.gaierror)
    return str(error.strerror if own else os.strerror(error.errno or 0))
