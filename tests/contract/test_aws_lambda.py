"""Lambda keeps the contracts of sinks and scanners: ministack runs the functions, moto only takes the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from support.front import Answer, Front, Received
from support.functions import KEEPS, SCANS, DurableNames, Effects, Events, kind_of, new_function, scans_of
from support.s3 import aws_client
from support.stored import versions

from scribe_connectors.aws.lambda_ import LambdaScanner, LambdaScannerOptions, LambdaSink, LambdaSinkOptions
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_export.testing.records import make_record
from scribe_export.testing.scanner_contract import MakeScanner, Performed, ScannerContract
from scribe_export.testing.sink_contract import Destination, Faults, MakeSink, SinkContract
from scribe_local import servers
from scribe_local.proxy import Mode, Proxy

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

UNAVAILABLE = Answer(503, b'{"Message":"try later"}', headers={"x-amzn-errortype": "ServiceException"})
DENIED = Answer(403, b'{"Message":"no"}', headers={"x-amzn-errortype": "AccessDeniedException"})
FAILED = Answer(200, b'{"errorType":"KeyError","errorMessage":"no"}', headers={"x-amz-function-error": "Unhandled"})


@pytest.fixture(scope="module")
def functions(ministack: servers.LocalServer) -> Iterator[LambdaClient]:
    client: LambdaClient = aws_client(ministack.url, "lambda")
    yield client
    client.close()


@pytest.fixture
def front(ministack: servers.LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


def connection(url: str, function: str) -> dict[str, Any]:
    auth = {"access_key_id": servers.ACCESS_KEY, "secret_access_key": servers.SECRET_KEY}
    return {"function": function, "region": servers.REGION, "endpoint_url": url, "auth": auth}


FEW = {"concurrency": 2}
"""ministack runs each invocation made at once in a process of its own."""


class SinkFixtures(SinkContract):
    body = "json"
    given: ClassVar[Mapping[str, Any]] = FEW
    changed: ClassVar[Mapping[str, Any]] = {"client_context": {"by": "another"}}

    @pytest.fixture
    def function(self, functions: LambdaClient, bucket: str) -> str:
        return new_function(functions, KEEPS, bucket)

    @pytest.fixture
    def sink(self, front: Front, function: str) -> MakeSink:
        options = LambdaSinkOptions.model_validate({**connection(front.url, function), **self.given})
        return lambda: LambdaSink(options, Context("acts"))

    @pytest.fixture
    def reshaped(self, front: Front, function: str) -> MakeSink:
        given = {**connection(front.url, function), **self.given, **self.changed}
        options = LambdaSinkOptions.model_validate(given)
        return lambda: LambdaSink(options, Context("acts"))

    @pytest.fixture
    def destination(self, s3: S3Client, bucket: str, front: Front) -> Destination:
        return Effects(s3, bucket, front)

    @pytest.fixture
    def faults(self, front: Front) -> Faults:
        return faults(front)


def faults(front: Front) -> Faults:
    @contextmanager
    def refuse(record: Record) -> Iterator[None]:
        def script(came: Received) -> Answer | None:
            return FAILED if any(str(scan["scan_id"]) == record.scan_id for scan in scans_of(came)) else None

        with front.scripted(script):
            yield

    return Faults(
        down=front.unavailable,
        deny=front.denying,
        lose_answers=front.losing_answers,
        refuse=refuse,
        requests=lambda: front.requests,
    )


class TestSync(SinkFixtures):
    pass


@pytest.mark.slow
class TestArrays(SinkFixtures):
    given: ClassVar = {**FEW, "payload": "batch", "max_payload_bytes": 200_000}
    changed: ClassVar = {"payload": "scan"}
    cannot_partially_fail = "a batch is one invocation"


@pytest.mark.slow
class TestAsync(SinkFixtures):
    given: ClassVar = {"invocation": "async", "payload": "batch"}
    changed: ClassVar = {"payload": "scan"}
    cannot_partially_fail = "a batch is one invocation"


class TestDurable(SinkFixtures):
    """The names are kept by a stand-in before ministack, which knows none; the functions run in ministack."""

    given: ClassVar = {"durable": True, "qualifier": "$LATEST"}
    changed: ClassVar = {"execution_name": "another-{scan_id}"}

    @pytest.fixture
    def function(self, functions: LambdaClient, bucket: str) -> str:
        return new_function(functions, KEEPS, bucket, DurableConfig={"ExecutionTimeout": 60})

    @pytest.fixture
    def front(self, ministack: servers.LocalServer) -> Iterator[Front]:
        with (
            Front(ministack.port, unavailable=UNAVAILABLE, denied=DENIED) as inner,
            inner.scripted(DurableNames(inner)),
            Front(int(inner.url.rpartition(":")[2]), unavailable=UNAVAILABLE, denied=DENIED) as front,
        ):
            yield front

    @pytest.fixture
    def unacceptable(self) -> Record:
        return make_record("odd", body=b'{"scan_id": "odd", "notes": "' + b"n" * 2**23 + b'"}')


class TestRequestsToMoto(SinkFixtures):
    """moto without Docker runs nothing and answers each event with itself: what is held is what it took."""

    given: ClassVar = {"max_payload_bytes": 1_000_000, "invocation": "sync"}

    @pytest.fixture
    def front(self, moto: servers.LocalServer) -> Iterator[Front]:
        httpx.post(f"{moto.url}/moto-api/config", json={"lambda": {"use_docker": False}}).raise_for_status()
        with Front(moto.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
            yield front

    @pytest.fixture
    def function(self, moto: servers.LocalServer) -> Iterator[str]:
        client: LambdaClient = aws_client(moto.url, "lambda")
        yield new_function(client, KEEPS, "")
        client.close()

    @pytest.fixture
    def destination(self, front: Front) -> Destination:
        return Events(front)


class TestLambdaScanner(ScannerContract):
    @pytest.fixture
    def proxy(self, front: Front) -> Iterator[Proxy]:
        with Proxy(int(front.url.rpartition(":")[2])) as proxy:
            yield proxy

    @pytest.fixture
    def scanner(self, functions: LambdaClient, bucket: str, proxy: Proxy) -> MakeScanner:
        function = new_function(functions, SCANS, bucket)
        # ministack calls whatever a handler raises by this name.
        given = {**connection(proxy.url, function), "rejections": ["Runtime.HandlerError"]}
        options = LambdaScannerOptions.model_validate(given)
        return lambda: LambdaScanner(options, Context("scanner"))

    @pytest.fixture
    def performed(self, s3: S3Client, bucket: str) -> Performed:
        return lambda: sum(versions(s3, bucket, "effects/").values())

    @pytest.fixture
    def faults(self, front: Front, proxy: Proxy) -> Faults:
        return Faults(down=_refusing(proxy), deny=front.denying, lose_answers=front.losing_answers)


def _refusing(proxy: Proxy) -> Callable[[], Any]:
    @contextmanager
    def refusing() -> Iterator[None]:
        proxy.set(Mode.REFUSE)
        yield
        proxy.set(Mode.PASS)

    return refusing


def test_only_invocations_count() -> None:
    assert kind_of(Received("POST", "/", {"x-amz-invocation-type": "DryRun"}, b"")) == ""
