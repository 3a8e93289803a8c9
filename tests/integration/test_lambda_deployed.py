"""The function deployed by its template, fed by its queue."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.lambda_zip import ROOT, build, wheel
from support.missing import missing
from support.records import body
from support.s3 import aws_client, new_bucket
from support.stored import bodies, versions

from scribe_local.process import ServerMissing
from scribe_local.servers import LocalServer, Simulator, find_ministack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HERE = ROOT / "infra/aws/lambda"
TEMPLATE = HERE / "template.yaml"
POISON = b'{"no": "scan"}'
ASKED = {"signal_type": "sine", "frequency": 311.0, "duration": 1.0, "amplitude": 0.5}


def until(condition: Callable[[], object], within: float) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.1)


def test_the_template_is_one() -> None:
    try:
        lint = Path(find_ministack()).with_name("cfn-lint")
    except ServerMissing as error:
        missing(error)
    done = run([str(lint), str(TEMPLATE)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


class Deployed:
    def __init__(self, url: str, outputs: Mapping[str, str], bucket: str) -> None:
        self.bucket, self._outputs = bucket, outputs
        self.sqs, self.functions = aws_client(url, "sqs"), aws_client(url, "lambda")

    def close(self) -> None:
        self.sqs.close()
        self.functions.close()

    def mend(self, concurrency: int) -> None:
        """CloudFormation makes a number of a parameter's text where one is wanted, and ministack trips over the text."""
        (mapping,) = self.functions.list_event_source_mappings(FunctionName=self._outputs["FunctionArn"])[
            "EventSourceMappings"
        ]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        self.functions.update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency}
        )

    def send(self, *messages: bytes) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(n), "MessageBody": one.decode()} for n, one in enumerate(messages[start : start + 10])
            ]
            answer = self.sqs.send_message_batch(QueueUrl=self._outputs["QueueUrl"], Entries=entries)
            assert not answer.get("Failed")

    def left(self) -> int:
        """Messages in the queue, those in somebody's hands included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self._outputs["QueueUrl"], AttributeNames=names)
        return sum(int(value) for value in answer["Attributes"].values())

    def dead(self) -> list[bytes]:
        answer = self.sqs.receive_message(QueueUrl=self._outputs["DeadLettersUrl"], MaxNumberOfMessages=10)
        return [one["Body"].encode() for one in answer.get("Messages", [])]

    def invoke(self, event: Any) -> Any:
        answer = self.functions.invoke(FunctionName=self._outputs["FunctionArn"], Payload=json.dumps(event).encode())
        found = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, found
        return found


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, ministack: LocalServer, s3: S3Client, simulator: Simulator
) -> Iterator[Deployed]:
    """As infra/aws/lambda/README.md has it, with a config that differs in where AWS is."""
    folder = tmp_path_factory.mktemp("deployed")
    config = yaml.safe_load((HERE / "export.yaml").read_text())
    config["destinations"]["archive"]["endpoint_url"] = ministack.url
    code, bucket = new_bucket(s3), new_bucket(s3, versioned=True)
    s3.upload_file(str(build(folder, config, wheel(folder))), code, "scribe-export-lambda.zip")
    given = {
        "CodeBucket": code,
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Bucket": bucket,
        "ScribeUrl": simulator.url,
        "Timeout": "10",
        "VisibilityTimeout": "10",
        "MaxReceiveCount": "1",
        "MaximumConcurrency": "2",
    }
    stacks = aws_client(ministack.url, "cloudformation")
    stacks.create_stack(
        StackName="scribe-export",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stacks.get_waiter("stack_create_complete").wait(
        StackName="scribe-export", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (stack,) = stacks.describe_stacks(StackName="scribe-export")["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    there = Deployed(ministack.url, outputs, bucket)
    there.mend(2)
    # Two environments are there before the queue fills: a start takes long where everything runs on one machine.
    with ThreadPoolExecutor(2) as pool:
        assert len({scan["scan_id"] for scan in pool.map(there.invoke, [ASKED] * 2)}) == 2
    yield there
    there.close()
    stacks.delete_stack(StackName="scribe-export")
    stacks.close()


def test_a_scan_is_performed_and_kept(deployed: Deployed, s3: S3Client) -> None:
    scan = deployed.invoke(ASKED)
    assert scan["config"]["frequency"] == 311.0
    assert "undelivered" not in scan
    assert scan in [json.loads(one) for one in bodies(s3, deployed.bucket, "scans/")]


def test_every_scan_in_the_queue_reaches_the_bucket_and_what_is_none_the_dead_letter_queue(
    deployed: Deployed, s3: S3Client
) -> None:
    # The simulator gives its scans small numbers.
    scans = {str(number): body(number) for number in range(1001, 1200)}
    messages = list(scans.values())
    deployed.send(*messages[:77], POISON, *messages[77:])
    until(lambda: not deployed.left(), 90)
    assert deployed.dead() == [POISON]
    kept = {str(json.loads(one)["scan_id"]): one for one in bodies(s3, deployed.bucket, "scans/2026/03/01/")}
    assert kept == scans
    assert set(versions(s3, deployed.bucket, "scans/2026/03/01/").values()) == {1}
