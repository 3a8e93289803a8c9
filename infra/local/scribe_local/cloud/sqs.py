"""SQS: a message a scan, in a FIFO queue."""

from collections.abc import Iterator, Mapping
from typing import Any

from scribe_local.cloud.aws import client
from scribe_local.cloud.service import Service

QUEUE = "scans.fifo"


class Sqs(Service):
    """A FIFO queue, which drops repeats for five minutes."""

    name = "announce"
    connection = "aws"
    what = "SQS, a message a scan in a FIFO queue"

    def __init__(self, url: str) -> None:
        self._sqs = client(url, "sqs")
        self._base = url
        self._taken: list[bytes] = []

    def prepare(self) -> None:
        self._sqs.create_queue(QueueName=QUEUE, Attributes={"FifoQueue": "true"})

    def destination(self) -> Mapping[str, Any]:
        return {"type": "aws_sqs", "queue_url": self._url(), "attributes": {"material": "{material}"}}

    def copies(self) -> Iterator[bytes]:
        url = self._url()
        while found := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get(
            "Messages"
        ):
            self._taken += [one["Body"].encode() for one in found]
            handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
            self._sqs.delete_message_batch(QueueUrl=url, Entries=handles)
        yield from self._taken

    def close(self) -> None:
        self._sqs.close()

    def _url(self) -> str:
        url: str = self._sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        # The server may name itself otherwise than it is reached.
        return self._base + "/" + url.split("/", 3)[3]
