"""Which source an event is for, and what the events of a serverless host come to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from scribe_connectors.aws._notification import notification
from scribe_connectors.aws._queue import QueueOptions
from scribe_connectors.aws.s3_source import S3Source, S3SourceOptions
from scribe_connectors.gcp.pubsub_source import PubsubSource, PubsubSourceOptions
from scribe_export import config
from scribe_export.errors import ConfigError, Rejected, SourceError, Transient
from scribe_export.hosts import process
from scribe_export.hosts.aws_lambda import handler
from scribe_export.hosts.resident import Resident
from scribe_export.hosts.settings import checked
from scribe_export.interface import Context, Sink
from scribe_export.model import BatchLimits, Encoded
from scribe_export.registry import register_sink

QUEUE = "https://sqs.eu-west-1.amazonaws.com/222222222222/scans"


class ListSink(Sink):
    """Keeps the order in which scans arrive; never takes those in `refusing`, and none while `down`."""

    limits = BatchLimits(max_records=100)
    arrived: ClassVar[list[str]] = []
    refusing: ClassVar[set[str]] = set()
    down: ClassVar[bool] = False

    async def write(self, encoded: Encoded) -> None:
        if self.down:
            raise Transient("down", applied="no")
        ids = [record.scan_id for record in encoded.batch.records]
        for one in self.refusing.intersection(ids):
            raise Rejected(f"not {one}", kind="unwanted")
        self.arrived.extend(ids)


class Invocation:
    aws_request_id = "8476a536"

    def get_remaining_time_in_millis(self) -> int:
        return 3000


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    register_sink("list", ListSink)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The handler, over a config with a FIFO queue, a standard one and a bucket."""
    ListSink.arrived.clear()
    ListSink.refusing.clear()
    monkeypatch.setattr(ListSink, "down", False)
    sources = {
        "ordered": {"type": "aws_sqs", "queue_url": f"{QUEUE}.fifo", "dead_letter_queue": True},
        "scans": {"type": "aws_sqs", "queue_url": QUEUE, "dead_letter_queue": True},
        "old": {"type": "aws_s3", "bucket": "lab", "prefix": "scans/", "region": "eu-west-1"},
    }
    path = tmp_path / "export.yaml"
    path.write_text(json.dumps({"sources": sources, "destinations": {"list": {"type": "list"}}}))
    resident = Resident(checked(config.load(path)))
    monkeypatch.setattr(process, "_resident", resident)
    yield lambda event: handler(event, Invocation())
    resident.close()


def message(number: int, scan_id: str, group: str = "", queue: str = "scans") -> dict[str, Any]:
    return {
        "messageId": f"m{number}",
        "body": json.dumps({"scan_id": scan_id}),
        "attributes": {"MessageGroupId": group} if group else {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:222222222222:{queue}",
    }


def failures(answer: Any) -> list[str]:
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_after_one_that_failed_none_of_its_group_is_taken_and_other_groups_are(run: Any) -> None:
    ListSink.refusing.add("a2")
    sent = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"), ("b2", "b"), ("a4", "a")]
    records = [message(n, scan_id, group, "scans.fifo") for n, (scan_id, group) in enumerate(sent)]
    assert failures(run({"Records": records})) == ["m2", "m3", "m5"]
    assert [one for one in ListSink.arrived if one[0] == "a"] == ["a1"]
    assert [one for one in ListSink.arrived if one[0] == "b"] == ["b1", "b2"]


def test_the_groups_of_a_fair_queue_are_in_no_order(run: Any) -> None:
    ListSink.refusing.add("a1")
    assert failures(run({"Records": [message(1, "a1", "a"), message(2, "a2", "a")]})) == ["m1"]
    assert ListSink.arrived == ["a2"]


def test_all_that_a_destination_has_not_confirmed_comes_again(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListSink, "down", True)
    assert failures(run({"Records": [message(1, "a1"), message(2, "a2")]})) == ["m1", "m2"]


def test_an_event_that_is_partly_nobodys_is_refused_before_anything_is_taken(run: Any) -> None:
    with pytest.raises(SourceError, match=r"takes events of arn:aws:sqs:.*:other; its sources are ordered \(https://"):
        run({"Records": [message(1, "a1"), message(2, "a2", queue="other")]})
    assert ListSink.arrived == []


@pytest.mark.parametrize("event", [None, [], "scan", {}, {"Records": []}, {"key": "value"}])
def test_what_is_no_event_is_an_error_or_nothing(run: Any, event: Any) -> None:
    if event == {"Records": []}:
        assert run(event) is None
    else:
        with pytest.raises(SourceError):
            run(event)


@pytest.mark.parametrize(
    ("url", "arn", "is_of"),
    [
        (QUEUE, "arn:aws:sqs:eu-west-1:222222222222:scans", True),
        (QUEUE, "arn:aws:sqs:eu-west-2:222222222222:scans", False),
        (QUEUE, "arn:aws:sqs:eu-west-1:111111111111:scans", False),
        (QUEUE, "arn:aws:sqs:eu-west-1:222222222222:scans.fifo", False),
        (QUEUE, "arn:aws:sns:eu-west-1:222222222222:scans", False),
        (QUEUE, "scans", False),
        (QUEUE, "", False),
        ("https://sqs.cn-north-1.amazonaws.com.cn/222222222222/a", "arn:aws-cn:sqs:cn-north-1:222222222222:a", True),
        ("http://127.0.0.1:4566/000000000000/a", "arn:aws:sqs:us-east-1:000000000000:a", True),
        ("http://127.0.0.1:4566/000000000000/a", "arn:aws:sqs:us-east-1:000000000000:b", False),
    ],
)
def test_a_queue_is_known_by_its_arn(url: str, arn: str, *, is_of: bool) -> None:
    assert QueueOptions.model_validate({"queue_url": url}).is_of(arn) is is_of


def s3_record(key: str, name: str = "ObjectCreated:Put", bucket: str = "lab") -> dict[str, Any]:
    told = {"bucket": {"name": bucket}, "object": {"key": key, "size": 3, "eTag": "abc"}}
    return {"eventSource": "aws:s3", "eventName": name, "s3": told}


@pytest.mark.parametrize(
    ("event", "key", "brings"),
    [
        (s3_record("scans/a+b%2Bc%C3%A4.json"), "scans/a b+cä.json", True),
        (s3_record("a", "ObjectCreated:CompleteMultipartUpload"), "a", True),
        (s3_record("a", "s3:ObjectRestore:Completed"), "a", True),
        (s3_record("a", "ObjectRestore:Post"), "a", False),
        (s3_record("a", "ObjectRemoved:Delete"), "a", False),
        (s3_record("a", "LifecycleExpiration:Delete"), "a", False),
    ],
)
def test_a_notification_says_which_object_and_whether_there_is_one(event: Any, key: str, *, brings: bool) -> None:
    told = notification(event)
    assert told is not None
    assert (told.key, told.brings, told.etag) == (key, brings, '"abc"')


def test_a_bucket_is_known_by_name_and_prefix() -> None:
    source = S3Source(S3SourceOptions(bucket="lab", prefix="scans ä/"), Context("old"))
    assert source.takes(s3_record("scans+%C3%A4/1.json"))
    assert not source.takes(s3_record("other/1.json"))
    assert not source.takes(s3_record("scans+%C3%A4/1.json", bucket="lab2"))
    assert not source.takes(message(1, "a"))


@pytest.mark.parametrize(
    ("subscription", "project", "came", "takes"),
    [
        ("scans", "lab", "projects/lab/subscriptions/scans", True),
        ("scans", None, "projects/lab/subscriptions/scans", True),
        ("scans", "lab", "projects/other/subscriptions/scans", False),
        ("scans", None, "projects/lab/subscriptions/scans2", False),
        ("projects/lab/subscriptions/scans", None, "projects/lab/subscriptions/scans", True),
        ("projects/lab/subscriptions/scans", None, "projects/labs/subscriptions/scans", False),
    ],
)
def test_a_subscription_is_known_by_its_name(subscription: str, project: str | None, came: str, *, takes: bool) -> None:
    source = PubsubSource(PubsubSourceOptions(subscription=subscription, project=project), Context("in"))
    assert source.takes({"subscription": came, "message": {}}) is takes
    assert not source.takes({"subscription": came})


def test_requests_that_may_be_performed_twice_have_to_be_allowed(tmp_path: Path) -> None:
    asks = {"type": "aws_sqs", "queue_url": QUEUE, "delivers": "requests", "dead_letter_queue": True}
    document: dict[str, Any] = {
        "sources": {"asks": asks},
        "scanner": {"type": "scribe_api", "url": "http://127.0.0.1:1"},
        "destinations": {"list": {"type": "list"}},
    }
    path = tmp_path / "export.yaml"
    path.write_text(json.dumps(document, indent=1))
    with pytest.raises(ConfigError, match=r"export.yaml:3:3: sources.asks: in a serverless host nobody remembers"):
        checked(config.load(path))
    document["scanner"]["on_unknown"] = "retry"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"would keep a request and not the scan that came of it"):
        checked(config.load(path))
    document |= {"dead_letter": "letters", "destinations": {"list": {"type": "list"}, "letters": {"type": "list"}}}
    path.write_text(json.dumps(document))
    assert checked(config.load(path)).sources


def test_something_has_to_keep_what_can_never_be_delivered(tmp_path: Path) -> None:
    document = {"sources": {"in": {"type": "aws_sqs", "queue_url": QUEUE}}, "destinations": {"list": {"type": "list"}}}
    path = tmp_path / "export.yaml"
    path.write_text(json.dumps(document))
    with pytest.raises(
        ConfigError, match=r"sources.in: in a serverless host something has to keep .* dead_letter_queue"
    ):
        checked(config.load(path))
