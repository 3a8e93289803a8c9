"""What Redis' errors mean for a delivery: one classifier, by code.

A code is the first word of an error reply: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
"""

import ssl

from redis import exceptions as redis

from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient

_OPERATOR = frozenset(
    {
        "CROSSSLOT",
        "DENIED",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOPERM",
        "NOPROTO",
        "WRONGPASS",
        "WRONGTYPE",
    }
)
_ELSEWHERE = frozenset({"LOADING", "MASTERDOWN", "READONLY"})
"""Codes of a server that is not, or not yet, the one to talk to: a new connection may reach another."""


def classify(error: Exception, *, connecting: bool = False) -> SinkError | None:
    """An error of the client or the server in the framework's terms; None for anything else.

    An error reply says that its command had no effect. A code that is not known to be the operator's is worth another
    try: the lane finds out whether the record or the destination is at fault.
    """
    code = code_of(error)
    if code == "OOM":
        return Throttled(f"OOM: {error}", applied="no")
    if code in _OPERATOR or isinstance(error, redis.AuthenticationError | redis.AuthorizationError):
        return Misconfigured(_said(code, error))
    if isinstance(error, redis.ResponseError | redis.BusyLoadingError):
        return Transient(_said(code, error), applied="no")
    if _untrusted(error):
        return Misconfigured(f"{error}; set tls.ca_file if the server has a certificate of your own")
    if isinstance(error, redis.RedisError | OSError):
        return Transient(str(error) or type(error).__name__, applied="no" if connecting else "unknown")
    return None


def code_of(error: Exception) -> str:
    """The server's code, such as ``WRONGTYPE``; empty for what no server said."""
    if not isinstance(error, redis.RedisError):
        return ""
    if error.status_code:
        return error.status_code
    return str(error).partition(" ")[0] if isinstance(error, redis.ResponseError) else ""


def is_elsewhere(error: Exception) -> bool:
    """Whether the connection should be made anew, for the name may stand for another server by now."""
    return code_of(error) in _ELSEWHERE


def _said(code: str, error: Exception) -> str:
    text = str(error)
    return text if not code or text.startswith(code) else f"{code}: {text}"


def _untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
