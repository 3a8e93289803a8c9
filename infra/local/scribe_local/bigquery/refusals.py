"""Refusals, in the shape of Google's JSON APIs.

https://cloud.google.com/bigquery/docs/error-messages lists the reasons with their HTTP codes.
"""

from typing import Any

_NAMES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class Refused(Exception):
    """A request or job that cannot be done; `reason` is one of BigQuery's, `status` its HTTP code."""

    def __init__(
        self, status: int, reason: str, message: str, *, location: str = "", more: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.more = more or []

    def entry(self) -> dict[str, str]:
        """As a job's `errorResult`."""
        found = {"reason": self.reason, "message": self.message}
        return {**found, "location": self.location} if self.location else found

    def entries(self) -> list[dict[str, str]]:
        """As a job's `errors`: what led to the refusal, after the refusal itself."""
        return [self.entry(), *self.more]

    def document(self) -> dict[str, Any]:
        """As an answer's body."""
        errors = [{"domain": "global", **self.entry()}]
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": errors,
                "status": _NAMES.get(self.status, "UNKNOWN"),
            }
        }


def invalid(message: str, location: str = "") -> Refused:
    """A request that makes no sense."""
    return Refused(400, "invalid", message, location=location)


def unsupported(what: str) -> Refused:
    """Something that BigQuery does and this server does not."""
    return Refused(501, "notImplemented", f"the local BigQuery does not support {what}")


def not_found(what: str) -> Refused:
    """`what` as in ``Table p:d.t``."""
    return Refused(404, "notFound", f"Not found: {what}")


def duplicate(what: str) -> Refused:
    """`what` as in ``Job p:US.id``."""
    return Refused(409, "duplicate", f"Already Exists: {what}")


def invalid_query(message: str) -> Refused:
    """SQL that cannot be run."""
    return Refused(400, "invalidQuery", message, location="query")
