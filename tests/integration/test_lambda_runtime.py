"""The shipped zip, unzipped into an empty folder, under the genuine runtime client of AWS Lambda."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
from support.front import Answer, Front, Received
from support.lambda_runtime import Function, FunctionError, RuntimeApi, runtime_python
from support.lambda_zip import build, wheel
from support.missing import missing
from support.records import body
from support.s3 import new_bucket
from support.stored import bodies, versions

from scribe_local.process import ServerMissing
from scribe_local.servers import REGION, LocalServer, Simulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the zip was unzipped."""
    try:
        runtime_python()
    except ServerMissing as error:
        missing(error)
    folder = tmp_path_factory.mktemp("lambda")
    with zipfile.ZipFile(build(folder, {}, wheel(folder))) as zipped:
        zipped.extractall(folder / "task")
    return folder / "task"


@pytest.fixture
def front(ministack: LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=Answer(503), denied=Answer(403)) as front:
        yield front


class Queue:
    def __init__(self, url: str, name: str) -> None:
        self.url = f"{url}/000000000000/{name}"
        self.arn = f"arn:aws:sqs:{REGION}:000000000000:{name}"

    def event(self, *messages: bytes, group: str = "") -> dict[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
        more = {"MessageGroupId": group} if group else {}
        return {
            "Records": [
                {
                    "messageId": f"m{number}",
                    "receiptHandle": f"r{number}",
                    "body": message.decode(),
                    "attributes": {"ApproximateReceiveCount": "1", **more},
                    "messageAttributes": {},
                    "md5OfBody": "",
                    "eventSource": "aws:sqs",
                    "eventSourceARN": self.arn,
                    "awsRegion": REGION,
                }
                for number, message in enumerate(messages, 1)
            ]
        }


class Stage:
    """A bucket behind a front, and a function whose config writes to it."""

    def __init__(self, folder: Path, code: Path, front: Front, s3: S3Client) -> None:
        self._folder, self._code = folder, code
        self.front, self.s3, self.bucket = front, s3, new_bucket(s3, versioned=True)
        self.queue = Queue(front.url, "scans")

    def config(self, **more: Any) -> Mapping[str, Any]:
        return {
            "sources": {"queue": {"type": "aws_sqs", "queue_url": self.queue.url, "dead_letter_queue": True}},
            "destinations": {
                "archive": {
                    "type": "aws_s3",
                    "bucket": self.bucket,
                    "endpoint_url": self.front.url,
                    "key": "scans/{scan_id}.json",
                    "timeout": "5s",
                    "retry": {"base_delay": "100ms", "max_delay": "500ms"},
                    "breaker": {"timeout": "500ms"},
                }
            },
            **more,
        }

    @contextmanager
    def function(self, api: RuntimeApi, **more: Any) -> Iterator[Function]:
        path = self._folder / "function.yaml"
        path.write_text(json.dumps(self.config(**more)))
        with Function(api, self._code, self._folder / "function.log", SCRIBE_EXPORT_CONFIG=str(path)) as function:
            yield function

    def stored(self) -> dict[str, bytes]:
        found = {str(json.loads(one)["scan_id"]): one for one in bodies(self.s3, self.bucket, "scans/")}
        assert set(versions(self.s3, self.bucket, "scans/").values()) <= {1}, "a scan was written twice"
        return found


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def stage(tmp_path: Path, code: Path, front: Front, s3: S3Client) -> Stage:
    return Stage(tmp_path, code, front, s3)


def failures(answer: Any) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_messages_are_acknowledged_when_their_scans_are_in_the_bucket(stage: Stage, api: RuntimeApi) -> None:
    scans = [body(number) for number in range(1, 11)]
    with stage.function(api) as function:
        assert failures(function.invoke(stage.queue.event(*scans))) == []
        assert failures(function.invoke(stage.queue.event(*scans[:3], body(11)))) == []
    assert stage.stored() == {str(number): body(number) for number in range(1, 12)}


def test_what_no_destination_has_comes_again(stage: Stage, api: RuntimeApi) -> None:
    event = stage.queue.event(body(1), body(2))
    with stage.function(api) as function:
        with stage.front.unavailable():
            assert failures(function.invoke(event, seconds=3)) == ["m1", "m2"]
        assert stage.stored() == {}
        assert failures(function.invoke(event)) == []
    assert stage.stored() == {"1": body(1), "2": body(2)}


def test_of_what_can_never_be_delivered_only_that_comes_again(stage: Stage, api: RuntimeApi) -> None:
    with stage.function(api) as function:
        assert failures(function.invoke(stage.queue.event(body(1), b"no scan", body(3)))) == ["m2"]
    assert set(stage.stored()) == {"1", "3"}


def test_a_function_that_is_killed_in_the_middle_loses_and_doubles_nothing(stage: Stage, api: RuntimeApi) -> None:
    reached, held = threading.Event(), threading.Event()

    def hold(came: Received) -> None:
        if came.method == "PUT" and "/scans/7.json" in came.path:
            reached.set()
            held.wait(20)

    event = stage.queue.event(*(body(number) for number in range(1, 11)))
    with stage.front.scripted(hold), stage.function(api) as function:
        begun = function.begin(event)
        assert reached.wait(20)
        function.kill()
        held.set()
        assert not begun.done()
    with stage.function(api) as function:
        assert failures(function.invoke(event)) == []
    assert stage.stored() == {str(number): body(number) for number in range(1, 11)}


def test_a_scan_is_performed_for_who_invokes_the_function(stage: Stage, api: RuntimeApi, simulator: Simulator) -> None:
    asked = {"signal_type": "sine", "frequency": 523.25, "duration": 1.0, "amplitude": 0.5}
    with stage.function(api, scanner={"type": "scribe_api", "url": simulator.url}) as function:
        scan = function.invoke(asked)
        assert scan["config"]["frequency"] == 523.25
        assert "undelivered" not in scan
        assert json.loads(stage.stored()[str(scan["scan_id"])]) == scan
        with stage.front.unavailable():
            kept = function.invoke(asked, seconds=4)
        assert "not every destination" in kept["undelivered"]
        with pytest.raises(FunctionError, match="frequency") as caught:
            function.invoke({**asked, "frequency": "high"})
    assert caught.value.kind == "Rejected"


def notification(bucket: str, key: str, etag: str, size: int, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    thing = {"key": quote_plus(key, safe="/"), "size": size, "eTag": etag.strip('"'), "sequencer": "0055AED6DCD90281E5"}
    told = {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": thing}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": told}


def test_objects_that_s3_tells_of_are_read(stage: Stage, api: RuntimeApi) -> None:
    lines = b"\n".join(body(number) for number in range(1, 602))
    key = "in/dt=2026 März/a+b.jsonl"
    etag = stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=lines)["ETag"]
    told = notification(stage.bucket, key, etag, len(lines))
    gone = notification(stage.bucket, "in/gone.json", etag, 7)
    removed = notification(stage.bucket, key, "", 0, "ObjectRemoved:Delete")
    source = {"type": "aws_s3", "bucket": stage.bucket, "prefix": "in/", "endpoint_url": stage.front.url}
    batched = {**stage.config()["destinations"]["archive"], "key": "scans/{batch_id}.jsonl", "format": "jsonl"}
    with stage.function(api, sources={"old": source}, destinations={"lake": batched}) as function:
        assert function.invoke({"Records": [told, gone, removed]}) is None
        assert len(bodies(stage.s3, stage.bucket, "scans/")) == 601
        with stage.front.unavailable(), pytest.raises(FunctionError) as caught:
            function.invoke({"Records": [told]}, seconds=3)
        with pytest.raises(FunctionError, match=r"takes events of other; its sources are old \(s3://.*/in/\)"):
            function.invoke({"Records": [notification("other", "in/x.json", etag, 7)]})
    assert caught.value.kind == "Transient"
    assert set(stage.stored()) == {str(number) for number in range(1, 602)}


def test_objects_that_eventbridge_tells_of_are_read(stage: Stage, api: RuntimeApi) -> None:
    key = "in/dt=2026 März/a+b.json"
    etag = stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=body(1))["ETag"].strip('"')
    event = {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": stage.bucket}, "object": {"key": key, "size": len(body(1)), "etag": etag}},
    }
    source = {"type": "aws_s3", "bucket": stage.bucket, "prefix": "in/", "endpoint_url": stage.front.url}
    with stage.function(api, sources={"old": source}) as function:
        assert function.invoke(event) is None
        assert function.invoke({**event, "detail-type": "Object Deleted"}) is None
        assert function.invoke({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": stage.bucket}) is None
    assert stage.stored() == {"1": body(1)}


def test_requests_in_a_queue_are_performed_and_their_scans_delivered(
    stage: Stage, api: RuntimeApi, simulator: Simulator
) -> None:
    asks = {**stage.config()["sources"]["queue"], "delivers": "requests"}
    scanner = {"type": "scribe_api", "url": simulator.url, "on_unknown": "retry"}
    wanted = [{"request_id": f"r{n}", "config": {"frequency": 300.0 + n}} for n in range(3)]
    event = stage.queue.event(*(json.dumps(one).encode() for one in wanted), b'{"config": {"frequency": "high"}}')
    archive = stage.config()["destinations"]["archive"]
    destinations = {"archive": archive, "letters": {**archive, "key": "dead/{scan_id}.json"}}
    more = {"destinations": destinations, "dead_letter": "letters"}
    with stage.function(api, sources={"asks": asks}, scanner=scanner, **more) as function:
        assert failures(function.invoke(event)) == []
        assert failures(function.invoke(stage.queue.event(json.dumps(wanted[0]).encode()))) == []
    scans = [json.loads(one)["config"]["frequency"] for one in stage.stored().values()]
    assert sorted(scans) == [300.0, 301.0, 302.0]
    [letter] = bodies(stage.s3, stage.bucket, "dead/")
    assert json.loads(letter)["body"] == '{"config": {"frequency": "high"}}'


def test_a_wrong_config_is_told_when_the_function_starts(stage: Stage, api: RuntimeApi) -> None:
    asks = {**stage.config()["sources"]["queue"], "delivers": "requests"}
    scanner = {"type": "scribe_api", "url": "http://127.0.0.1:1"}
    with stage.function(api, sources={"asks": asks}, scanner=scanner), pytest.raises(FunctionError) as caught:
        api.init_error.result(20)
    assert caught.value.kind == "ConfigError"
    assert "sources.asks: in a serverless host nobody remembers" in str(caught.value)


def test_events_of_nobody_are_an_error(stage: Stage, api: RuntimeApi) -> None:
    with stage.function(api) as function:
        with pytest.raises(
            FunctionError, match=rf"takes events of arn:.*:other; its sources are queue \({stage.queue.url}\)"
        ):
            function.invoke(Queue(stage.front.url, "other").event(body(1)))
        with pytest.raises(FunctionError, match="an unknown kind, with key1"):
            function.invoke({"key1": "value1"})
        with pytest.raises(FunctionError, match="has no `scanner:`"):
            function.invoke({"frequency": 440.0})


def test_a_function_that_was_stopped_between_two_invocations_goes_on(stage: Stage, api: RuntimeApi) -> None:
    with stage.function(api) as function:
        with stage.front.unavailable():
            assert failures(function.invoke(stage.queue.event(body(1)), seconds=2)) == ["m1"]
            function.freeze()
        begun = function.begin(stage.queue.event(body(1), body(2)))
        function.thaw()
        assert failures(begun.result(20)) == []
    assert stage.stored() == {"1": body(1), "2": body(2)}
