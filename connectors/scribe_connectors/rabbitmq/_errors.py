"""What RabbitMQ's errors mean for a delivery: one classifier, by reply code.

https://www.rabbitmq.com/amqp-0-9-1-reference#constants (seen 2026-11-24)
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiormq import exceptions as amqp

from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient

_CODES: dict[type[amqp.AMQPError], int] = {
    amqp.ChannelAccessRefused: 403,
    amqp.ChannelNotFoundEntity: 404,
    amqp.ChannelLockedResource: 405,
    amqp.ChannelPreconditionFailed: 406,
    amqp.ConnectionFrameError: 501,
    amqp.ConnectionSyntaxError: 502,
    amqp.ConnectionCommandInvalid: 503,
    amqp.ConnectionChannelError: 504,
    amqp.ConnectionUnexpectedFrame: 505,
    amqp.ConnectionResourceError: 506,
    amqp.ConnectionNotAllowed: 530,
    amqp.ConnectionNotImplemented: 540,
    amqp.ConnectionInternalError: 541,
    amqp.ProbableAuthenticationError: 403,
}
_NAMES = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    320: "CONNECTION_FORCED",
    402: "INVALID_PATH",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}
_OPERATOR = frozenset({402, 403, 404, 405, 406, 530, 540})
_THROTTLED = frozenset({506})
NO_ROUTE = 312
PRECONDITION_FAILED = 406


def code_of(error: BaseException) -> int | None:
    """The reply code that the broker closed a channel or the connection with, or returned a message with."""
    if isinstance(error, amqp.PublishError):
        return NO_ROUTE
    if type(error) in _CODES:
        return _CODES[type(error)]  # type: ignore[index]  # it is a key
    if isinstance(error, amqp.ChannelClosed | amqp.ConnectionClosed) and error.args:
        return error.args[0] if isinstance(error.args[0], int) else None
    return None


def classify(error: BaseException) -> SinkError | None:
    """An error of the client or the broker in the framework's terms; None for anything else."""
    code = code_of(error)
    if code is not None:
        text = f"{_NAMES.get(code, code)}: {_text(error)}"
        if code in _OPERATOR:
            return Misconfigured(text)
        return Throttled(text) if code in _THROTTLED else Transient(text)
    if isinstance(error, amqp.AuthenticationError):
        return Misconfigured(str(error))
    if isinstance(error, amqp.DeliveryError):
        return Transient(f"the broker did not take the message: {error}")
    if isinstance(error, amqp.ChannelInvalidStateError):
        return Transient(str(error), applied="no")
    if isinstance(error, ssl.SSLCertVerificationError | ssl.CertificateError):
        return Misconfigured(f"{error}; set tls.ca_file if the broker has a certificate of your own")
    if isinstance(error, TimeoutError):
        return Transient("the broker did not answer in time")
    if isinstance(error, amqp.AMQPError | OSError):
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return classify(cause)
        return Transient(_text(error))
    # What the client tells those that wait on a connection which was closed without a reason.
    return Transient("the connection was closed") if type(error) is Exception else None


@contextmanager
def translated() -> Iterator[None]:
    """Raise the client's errors in the framework's terms.

    A connection that is closed cancels who waits for it; that is no cancellation of the task.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise Transient("the connection was closed meanwhile") from None
        raise
    except SinkError:
        raise
    except Exception as error:
        known = classify(error)
        if known is None:
            raise
        raise known from error


def _text(error: BaseException) -> str:
    found = [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in error.args]
    return " ".join(one for one in found if one) or type(error).__name__
