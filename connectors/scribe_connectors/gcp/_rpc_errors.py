"""What errors of google.api_core and of gRPC mean for a delivery, by their codes; REST's are in `_errors`.

https://cloud.google.com/apis/design/errors
"""

from typing import Any

import grpc
import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError, from_grpc_error
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from scribe_connectors.gcp import _errors
from scribe_connectors.gcp._errors import Said, judge
from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient

_OPERATOR = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_DEFINITE = frozenset({grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})


def classify(error: Exception) -> SinkError | None:
    """An error of a client of google-cloud-*, gRPC or REST, in the framework's terms; None for anything else.

    INVALID_ARGUMENT, ALREADY_EXISTS and OUT_OF_RANGE say for each service something else: those who know catch them
    before. Here they are transient and surely not applied.
    """
    if isinstance(error, grpc.RpcError) and not isinstance(error, GoogleAPICallError):
        error = from_grpc_error(error)
    if isinstance(error, RetryError):
        cause = classify(error.cause) if isinstance(error.cause, Exception) else None
        return cause or Transient(str(error))
    if not isinstance(error, GoogleAPICallError):
        return _errors.classify(error)
    code = None if _is_rest(error) else _code(error.grpc_status_code)
    return _of_code(code, said(error)) if code else judge(said(error))


def said(error: GoogleAPICallError) -> Said:
    """What the service answered, from either transport."""
    status = int(error.code or 0)
    if _is_rest(error):
        return _errors.said_in(error.response)
    reason = str(next((one["reason"] for one in error.errors if isinstance(one, dict) and one.get("reason")), ""))
    delay: float | None = None
    for detail in error.details:
        if isinstance(detail, RetryInfo):
            delay = detail.retry_delay.ToTimedelta().total_seconds()
        elif isinstance(detail, ErrorInfo):
            reason = reason or detail.reason
    name = error.grpc_status_code.name if error.grpc_status_code else str(status)
    return Said(status, reason, f"{name}{f' {reason}' if reason else ''}: {error.message or '':.500}", delay)


def code_of(error: Exception) -> grpc.StatusCode | None:
    """gRPC's code of an error from either kind of client."""
    if isinstance(error, GoogleAPICallError):
        return _code(error.grpc_status_code)
    # Those that calls raise are calls as well, and have a code; the class by itself has none.
    return _code(getattr(error, "code", lambda: None)()) if isinstance(error, grpc.RpcError) else None


def speaks_of_credentials(error: Exception) -> bool:
    """Whether a client made with other credentials may pass."""
    unknown = getattr(error, "code", None) == 401 or code_of(error) is grpc.StatusCode.UNAUTHENTICATED
    return unknown or _errors.speaks_of_credentials(error)


def _is_rest(error: GoogleAPICallError) -> bool:
    return isinstance(error.response, requests.Response)


def _code(found: Any) -> grpc.StatusCode | None:
    return found if isinstance(found, grpc.StatusCode) else None


def _of_code(code: grpc.StatusCode, answer: Said) -> SinkError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Throttled(answer.message, retry_after=answer.retry_after, applied="no")
    if code in _OPERATOR:
        return Misconfigured(answer.message)
    return Transient(answer.message, retry_after=answer.retry_after, applied="no" if code in _DEFINITE else "unknown")
