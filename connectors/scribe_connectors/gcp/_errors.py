"""What Google's errors mean for a delivery: one classifier, by status and reason.

https://cloud.google.com/storage/docs/json_api/v1/status-codes, https://cloud.google.com/bigquery/docs/error-messages
"""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import requests
from google.auth.exceptions import GoogleAuthError, TransportError
from google.resumable_media import DataCorruption, InvalidResponse
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient

_THROTTLED = frozenset(
    {
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "dailyLimitExceeded",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    }
)
# A retention policy or a hold protects what stands under the record's name.
_RECORD = frozenset({"objectUnderActiveHold", "retentionPolicyNotMet", "uploadTooLarge"})
_OPERATOR = frozenset(
    {
        "methodNotAllowed",
        "orgPolicyConstraintFailed",
        "userProjectInconsistent",
        "userProjectInvalid",
        "userProjectMissing",
    }
)
_REQUEST_NEVER_MADE = (
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a service answered: HTTP's status and the service's own reason, such as ``rateLimitExceeded``."""

    status: int
    reason: str
    message: str
    retry_after: float | None = None


def classify(error: Exception) -> SinkError | None:
    """An error of a REST call, its transport or its credentials in the framework's terms; None for anything else."""
    if isinstance(error, SinkError):
        return error
    answer = said(error)
    if answer:
        return judge(answer)
    if isinstance(error, TransportError) or (isinstance(error, GoogleAuthError) and error.retryable):
        # Without a token the call itself was never made.
        return Transient(f"no access token: {error}", applied="no")
    if isinstance(error, GoogleAuthError):
        return Misconfigured(f"credentials: {error}")
    if isinstance(error, requests.RequestException):
        return _of_transport(error)
    return Transient(f"{type(error).__name__}: {error}") if isinstance(error, DataCorruption | HTTPError) else None


def judge(answer: Said) -> SinkError:
    """A status and reason in the framework's terms.

    A 4xx that is not known to be the operator's or the record's is worth another try: the lane finds out whether the
    record or the destination is at fault.
    """
    status, message = answer.status, answer.message
    if status == 429 or answer.reason in _THROTTLED:
        return Throttled(message, retry_after=answer.retry_after, applied="no")
    if status == 413 or answer.reason in _RECORD:
        return Rejected(message, kind="too_large" if status == 413 else "rejected")
    kms = answer.reason.lower().startswith("cloudkms")
    if status in {401, 403, 404} or answer.reason in _OPERATOR or kms:
        return Misconfigured(message)
    definite = 400 <= status < 500 and status not in {408, 499}
    return Transient(message, retry_after=answer.retry_after, applied="no" if definite else "unknown")


def said(error: Exception) -> Said | None:
    """The service's answer, if the error is one."""
    return said_in(error.response) if isinstance(error, InvalidResponse) else None


def said_in(response: requests.Response) -> Said:
    """What a response of a REST API says that is no success."""
    found: Any = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode(response.content)
    body = found.get("error") if isinstance(found, dict) else None
    error: Mapping[str, Any] = body if isinstance(body, dict) else {}
    first = next((one for one in error.get("errors") or () if isinstance(one, dict)), {})
    details = [one for one in error.get("details") or () if isinstance(one, dict)]
    reason = first.get("reason") or next((one["reason"] for one in details if one.get("reason")), "")
    text = error.get("message") or response.reason or ""
    delay = _seconds(response.headers.get("Retry-After"))
    for one in details:
        delay = delay if delay is not None else _seconds(str(one.get("retryDelay", "")).removesuffix("s"))
    return Said(
        status=response.status_code,
        reason=str(reason or error.get("status") or ""),
        message=f"{response.status_code} {reason}: {text:.500}" if reason else f"{response.status_code} {text:.500}",
        retry_after=delay,
    )


def speaks_of_credentials(error: Exception) -> bool:
    """Whether a client made with other credentials may pass."""
    answer = said(error)
    if answer:
        return answer.status == 401
    return isinstance(error, GoogleAuthError) and not isinstance(error, TransportError)


def _of_transport(error: requests.RequestException) -> SinkError:
    if isinstance(error, _REQUEST_NEVER_MADE):
        return Misconfigured(str(error))
    cause: Any = error.args[0] if error.args else error
    if isinstance(cause, MaxRetryError):
        # Its own text holds the URL, which for a resumable upload is as good as a token.
        cause = cause.reason
    message = f"{type(error).__name__}: {cause}"
    if isinstance(error, requests.exceptions.SSLError) and _untrusted(error):
        return Misconfigured(f"{message}; set tls.ca_file if the endpoint has a certificate of your own")
    never = isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError)
    return Transient(message, applied="no" if never or isinstance(cause, NewConnectionError) else "unknown")


def _untrusted(error: BaseException) -> bool:
    cause: Any = error
    while isinstance(cause, BaseException) and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = getattr(cause, "reason", None) or next((one for one in cause.args if isinstance(one, Exception)), None)
    return cause is not None


def _seconds(value: str | None) -> float | None:
    with suppress(TypeError, ValueError):
        return max(0.0, float(value or ""))
    return None
