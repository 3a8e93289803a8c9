"""Queues of the local AWS, looked at by a genuine client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from support.front import Front, Received

from scribe_export.model import Record
from scribe_export.scan import read_fields
from scribe_export.testing.destination import Destination

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def new_queue(sqs: SQSClient, *, fifo: bool = False, **attributes: str) -> str:
    """Make a queue with a name of its own; its URL."""
    name = f"test-{uuid4()}" + (".fifo" if fifo else "")
    given = attributes | ({"FifoQueue": "true"} if fifo else {})
    return sqs.create_queue(QueueName=name, Attributes=given)["QueueUrl"]  # type: ignore[arg-type]  # names of attributes


class QueueContents(Destination):
    """What a queue holds. Reading hides the messages, so they are kept here.

    They are deleted only where they hide others of their group: moto forgets with a message that it came before.
    """

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs, self._url = sqs, url
        self.messages: list[Any] = []
        self._undeleted: list[str] = []

    def held(self) -> Sequence[tuple[str, bytes]]:
        self.take()
        return [(read_fields(body).scan_id, body) for body in (one["Body"].encode() for one in self.messages)]

    def take(self) -> list[Any]:
        """All messages so far, in the order received."""
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0,
                MessageAttributeNames=["All"],
                AttributeNames=["All"],
            )
            known = {one["MessageId"] for one in self.messages}
            found = [one for one in answer.get("Messages", []) if one["MessageId"] not in known]
            self.messages += found
            self._undeleted += [one["ReceiptHandle"] for one in found]
            if found:
                continue
            if not self._undeleted or self._count() <= len(self._undeleted):
                return self.messages
            for handle in self._undeleted:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)
            self._undeleted.clear()

    def _count(self) -> int:
        names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)


@contextmanager
def failing_entry(front: Front, record: Record, *, code: str = "InternalError", fault: bool = False) -> Iterator[None]:
    """SQS fails this scan's entry of a SendMessageBatch request and takes the others."""
    with failing_entries(front, {record.scan_id: (code, fault)}):
        yield


@contextmanager
def failing_entries(
    front: Front,
    failures: dict[str, tuple[str, bool]],
    *,
    when: Callable[[list[Any]], bool] = lambda entries: True,
) -> Iterator[None]:
    """The same for several, by scan id; only in requests for whose entries `when` holds."""

    def entries(came: Received) -> list[Any]:
        found: list[Any] = json.loads(came.body).get("Entries", [])
        return found if "MessageBody" in (found or [{}])[0] and when(found) else []

    def failure(entry: Any) -> tuple[str, bool] | None:
        return failures.get(read_fields(entry["MessageBody"].encode()).scan_id)

    def request(came: Received) -> bytes:
        if not any(map(failure, entries(came))):
            return bytes(came.body)
        document = json.loads(came.body)
        document["Entries"] = [one for one in document["Entries"] if not failure(one)]
        return json.dumps(document).encode()

    def answer(came: Received, body: bytes) -> bytes:
        failed = [(one["Id"], found) for one in entries(came) if (found := failure(one))]
        if not failed:
            return body
        document = json.loads(body)
        if "Successful" not in document:  # nothing was left to send
            document = {"Successful": []}
        document["Failed"] = [{"Id": i, "Code": code, "SenderFault": fault} for i, (code, fault) in failed]
        return json.dumps(document).encode()

    with front.meddling(request, answer):
        yield
