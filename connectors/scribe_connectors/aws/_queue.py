"""What the SQS sink and source have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import model_validator

from scribe_connectors.aws._client import AwsClient, AwsOptions
from scribe_export.options import Url

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (seen 2026-11-23)
MAX_ENTRIES = 10


class QueueOptions(AwsOptions):
    """Which queue. Its URL says the region; an address that is not AWS's is the endpoint too."""

    queue_url: Url
    """The queue's URL; one that ends in `.fifo` is a FIFO queue."""

    @model_validator(mode="before")
    @classmethod
    def _follow_url(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("queue_url"), str):
            return values
        parts = urlsplit(values["queue_url"])
        host = (parts.hostname or "").split(".")
        derived: dict[str, Any] = {}
        if host[0] == "sqs" and len(host) > 2 and "amazonaws" in host:
            derived["region"] = host[1]
        elif parts.scheme and parts.netloc:
            derived["endpoint_url"] = f"{parts.scheme}://{parts.netloc}"
        return derived | {name: value for name, value in values.items() if value is not None or name not in derived}

    @property
    def fifo(self) -> bool:
        """Whether the queue keeps order and drops repeats for five minutes."""
        return self.queue_url.endswith(".fifo")

    def is_of(self, arn: str) -> bool:
        """Whether this is the ARN of the queue, as far as its URL tells: account and name, and the region if it does."""
        parts = arn.split(":", 5)  # arn, partition, service, region, account, name
        here = urlsplit(self.queue_url).path.strip("/").split("/")
        return parts[2:3] == ["sqs"] and parts[4:] == here[-2:] and self.region in (None, parts[3])


class Queue:
    """A queue and the client that reaches it."""

    def __init__(self, options: QueueOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self.url = options.queue_url
        self.client = AwsClient("sqs", options, folder=folder, timeout=timeout, connections=connections)
        # It costs a sixth of the CPU to check again what the options and `encode` have checked.
        self.client.configure(parameter_validation=False)

    @property
    def sqs(self) -> "SQSClient":
        """The boto3 client."""
        client: SQSClient = self.client.get()
        return client
