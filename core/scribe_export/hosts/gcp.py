"""The exporter behind a push subscription of Pub/Sub, in Cloud Run or Cloud Functions.

`app` is a WSGI application for any server, `main` an entry point for the Functions Framework. `SCRIBE_EXPORT_CONFIG`
names the config. Nothing here is for the open internet: let the platform admit the subscription's service account alone,
https://cloud.google.com/run/docs/triggering/pubsub-push. With `SCRIBE_EXPORT_PUSH_AUDIENCE` the token that it sends is
looked at here as well.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from scribe_export.errors import SourceError
from scribe_export.hosts.arriving import Arrival
from scribe_export.hosts.process import resident
from scribe_export.hosts.pushed import Refused, check_token
from scribe_export.hosts.settings import push_deadline

log = structlog.get_logger("scribe_export.hosts")

# https://cloud.google.com/pubsub/quotas#resource_limits (seen 2026-11-24): a message of 10 MB, in base64
MAX_BODY = 16 * 2**20


def app(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI. 204 acknowledges the message; whatever else has Pub/Sub deliver it again."""
    try:
        body = environ["wsgi.input"].read(_length(environ.get("CONTENT_LENGTH"), environ["REQUEST_METHOD"]))
        status, text = answer(body, environ.get("HTTP_AUTHORIZATION", ""))
    except Refused as refused:
        status, text = refused.status, str(refused)
    sent = text.encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(sent)))] if sent else []
    start_response(f"{status.value} {status.phrase}", headers)
    return [sent] if sent else []


def main(request: Any) -> tuple[str, int]:
    """For the Functions Framework, whose requests are Flask's. https://github.com/GoogleCloudPlatform/functions-framework-python"""
    try:
        _length(request.headers.get("Content-Length"), request.method)
        status, text = answer(request.get_data(), request.headers.get("Authorization", ""))
    except Refused as refused:
        status, text = refused.status, str(refused)
    return text, status.value


def answer(body: bytes, authorization: str) -> tuple[HTTPStatus, str]:
    """To the body of a push, https://cloud.google.com/pubsub/docs/push#receive_push. Raises `Refused`.

    What went wrong within is for the log alone: nobody needs it who could get here without having been let in.
    """
    check_token(authorization, os.environ)
    push = _push(body)
    until = time.monotonic() + push_deadline(os.environ)
    settled: dict[str, str] = {}
    arrivals = [Arrival("push", push)]
    try:
        resident().wait(lambda events, within: events.take(arrivals, settled, within=within), until)
    except SourceError as error:
        log.error("push of nobody", reason=str(error))  # noqa: TRY400 - it is told whole
        raise Refused(HTTPStatus.NOT_FOUND, "no source has this subscription; the log says which there are") from None
    reason = settled.get("push", "not confirmed in time")
    if not reason:
        return HTTPStatus.NO_CONTENT, ""
    log.warning("message comes again", message=push["message"].get("messageId"), reason=reason)
    return HTTPStatus.SERVICE_UNAVAILABLE, "not confirmed; the log says why"


def _push(body: bytes) -> dict[str, Any]:
    try:
        push = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from None
    if not isinstance(push, dict) or not isinstance(push.get("message"), dict):
        raise Refused(
            HTTPStatus.BAD_REQUEST, "not a push of Pub/Sub: no `message`; the subscription must not unwrap its payload"
        )
    return push


def _length(told: str | None, method: str) -> int:
    if method != "POST":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Pub/Sub posts its messages")
    try:
        length = int(told or "")
    except ValueError:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "no Content-Length") from None
    if not 0 <= length <= MAX_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes, and {MAX_BODY} is the most")
    return length


if "K_SERVICE" in os.environ:
    # A service whose config is wrong is not to start: https://cloud.google.com/run/docs/container-contract#env-vars
    resident()
