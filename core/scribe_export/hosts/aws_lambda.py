"""The exporter as a function in AWS Lambda: `scribe_export.hosts.aws_lambda.handler`.

It is given the events of the config's sources: messages of SQS, notifications of S3, by themselves or by EventBridge; and
requests for scans, from whoever invokes it. `SCRIBE_EXPORT_CONFIG` names the config.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from scribe_export.errors import SourceError, Transient
from scribe_export.hosts.arriving import Arrival, described
from scribe_export.hosts.process import resident
from scribe_export.model import ScanRequest

log = structlog.get_logger("scribe_export.hosts")
MARGIN = 1.0
"""Seconds of an invocation's time that are left for its answer."""
_REQUEST = frozenset(ScanRequest.__dataclass_fields__) | {"config"}


class LambdaContext(Protocol):
    """What of an invocation's context is looked at. https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is stopped."""


def handler(event: Any, context: LambdaContext) -> Any:
    """Acknowledge what the destinations have confirmed.

    For SQS the answer names the messages that are to come again:
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html. For S3 and EventBridge raising has
    Lambda deliver the event again. A request for a scan is answered with the completed scan.
    """
    until = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - MARGIN
    if not isinstance(event, Mapping):
        raise SourceError(f"an event is a JSON object, not {type(event).__name__}")
    if event.get("Event") == "s3:TestEvent":
        log.info("test event", bucket=event.get("Bucket"))
        return None
    records = event.get("Records")
    if isinstance(records, list):
        if strange := [record for record in records if not isinstance(record, Mapping)]:
            raise SourceError(f"a record of an event is a JSON object, not {type(strange[0]).__name__}")
        if any(record.get("eventSource") == "aws:sqs" for record in records):
            return _take_messages(records, until)
        return _take_all(records, until)
    if "detail-type" in event:
        return _take_all([event], until)
    if event.keys() & _REQUEST:
        return _scan(event, context.aws_request_id, until)
    raise SourceError(f"no event of a source, and no request for a scan: {described(event)}")


def _take_messages(records: Sequence[Mapping[str, Any]], until: float) -> dict[str, Any]:
    """An answer to SQS, https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html."""
    arrivals = [Arrival(_text(record, "messageId"), record, _group(record)) for record in records]
    settled = _settled(arrivals, until)
    failed = [one.id for one in arrivals if settled[one.id]]
    for name in failed:
        log.warning("message comes again", message=name, reason=settled[name])
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def _take_all(records: Sequence[Mapping[str, Any]], until: float) -> None:
    settled = _settled([Arrival(str(number), record) for number, record in enumerate(records)], until)
    reasons = [reason for reason in settled.values() if reason]
    if reasons:
        raise Transient(f"{len(reasons)} of {len(records)} events not confirmed: {'; '.join(dict.fromkeys(reasons))}")


def _group(record: Mapping[str, Any]) -> str:
    """A standard queue's messages may be of a group too, and are in no order."""
    if not _text(record, "eventSourceARN").endswith(".fifo"):
        return ""
    attributes = record.get("attributes")
    return _text(attributes if isinstance(attributes, Mapping) else {}, "MessageGroupId")


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value:
        raise SourceError(f"a message of SQS has a {name}, which this record has not: it has {', '.join(record)}"[:200])
    return value


def _settled(arrivals: Sequence[Arrival], until: float) -> dict[str, str]:
    """By id why each is not confirmed, empty for those that are."""
    settled: dict[str, str] = {}
    resident().wait(lambda events, within: events.take(arrivals, settled, within=within), until)
    known = dict(settled)
    return {one.id: known.get(one.id, "not confirmed in time") for one in arrivals}


def _scan(event: Mapping[str, Any], request_id: str, until: float) -> dict[str, Any]:
    """A measurement is not lost because it could not be delivered: then its field `undelivered` says so."""
    request = json.dumps(event).encode()  # integers above 64 bits too
    scanned = resident().wait(lambda events, within: events.scan(request, request_id, within=within), until)
    if scanned is None:
        raise Transient("the scan was not performed in time; it may still be")
    scan: dict[str, Any] = json.loads(scanned.body)  # exact, also for integers above 64 bits
    if scanned.undelivered:
        log.error("scan undelivered", request=request_id, reason=scanned.undelivered)
        scan["undelivered"] = scanned.undelivered
    return scan


def _end(*_: object) -> None:
    # Lambda stops a function's process so if an extension asked to be told.
    sys.exit(0)


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # While a function starts it has the whole processor: what is loaded now is not waited for later.
    resident()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
