"""Scans acted on, and performed, by functions in Lambda."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.front import Answer, Front
from support.functions import KEEPS, SCANS, DurableNames, Effects, kind_of, new_function
from support.loop import in_loop
from support.records import body, record, sealed, write
from support.s3 import aws_client

from scribe_connectors.aws._durable import execution_name
from scribe_connectors.aws.lambda_ import LambdaScanner, LambdaScannerOptions, LambdaSink, LambdaSinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import ScanRequest
from scribe_local.servers import REGION, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

TEST = {"access_key_id": "test", "secret_access_key": "test"}
ANSWER = Answer(503)
MIB = 2**20


def refusal(status: int, code: str, **headers: str) -> Answer:
    return Answer(status, b'{"message":"no"}', headers={"x-amzn-errortype": code, **headers})


def failure(kind: str) -> Answer:
    told = json.dumps({"errorType": kind, "errorMessage": "no"}).encode()
    return Answer(200, told, headers={"x-amz-function-error": "Unhandled"})


@pytest.fixture(scope="module")
def functions(ministack: LocalServer) -> Iterator[LambdaClient]:
    client: LambdaClient = aws_client(ministack.url, "lambda")
    yield client
    client.close()


@pytest.fixture
def front(ministack: LocalServer) -> Iterator[Front]:
    with Front(ministack.port, unavailable=ANSWER, denied=ANSWER) as front:
        yield front


def sink(url: str, function: str, **more: Any) -> LambdaSink:
    given = {"function": function, "endpoint_url": url, "region": REGION, "auth": TEST, "concurrency": 2, **more}
    return LambdaSink(LambdaSinkOptions.model_validate(given), Context("acts"))


def scanner(url: str, function: str, **more: Any) -> LambdaScanner:
    given = {"function": function, "endpoint_url": url, "region": REGION, "auth": TEST, **more}
    return LambdaScanner(LambdaScannerOptions.model_validate(given), Context("scanner"))


def invocations(front: Front) -> list[Any]:
    return [came for came in front.received if kind_of(came)]


@in_loop
async def test_a_function_gets_the_scan_its_alias_and_the_client_context(
    functions: LambdaClient, front: Front, s3: S3Client, bucket: str
) -> None:
    name = new_function(functions, KEEPS, bucket)
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    acts = sink(front.url, name, qualifier="live", client_context={"by": "Ångström"})
    await acts.open()
    assert await write(acts, [record(1)]) == "1 invoked"
    await acts.close()
    assert [json.loads(found) for _, found in Effects(s3, bucket, front).held()] == [json.loads(record(1).body)]
    [came] = invocations(front)
    assert came.path.endswith("?Qualifier=live")
    # ministack's functions get no client context.
    assert json.loads(base64.b64decode(came.headers["x-amz-client-context"])) == {"custom": {"by": "Ångström"}}


@in_loop
@pytest.mark.fault("F-14")
async def test_a_function_that_fails_is_no_success_and_its_neighbours_are_done(
    functions: LambdaClient, front: Front, s3: S3Client, bucket: str
) -> None:
    name = new_function(functions, KEEPS, bucket)
    acts = sink(front.url, name)
    with pytest.raises(PartialFailure) as caught:
        await write(acts, [record(1), record(2, body(2, **{"raise": "no wood"})), record(3)])
    await acts.close()
    assert caught.value.acked == {0, 2}
    error = caught.value.errors[1]
    assert (type(error), error.kind, error.applied) == (Transient, "function_error", "unknown")
    assert "no wood" in str(error)
    assert len(invocations(front)) == 3
    assert set(Effects(s3, bucket, front).effects()) == {"1", "3"}


@in_loop
async def test_an_invocation_that_outlives_its_client_is_unknown_and_made_once(
    functions: LambdaClient, front: Front, s3: S3Client, bucket: str
) -> None:
    name = new_function(functions, KEEPS, bucket)
    acts = sink(front.url, name, timeout=1.0)
    with pytest.raises(Transient) as caught:
        await write(acts, [record(1, body(1, sleep=3))])
    assert (caught.value.applied, caught.value.kind) == ("unknown", "transient")
    assert len(invocations(front)) == 1
    with pytest.raises(Misconfigured, match="timeout of 1 s is not above the 30 s"):
        await acts.open()
    await acts.close()


def test_a_payload_of_the_most_bytes_fits_and_a_larger_one_is_refused() -> None:
    empty = len(body(1, notes=""))
    for more, most in (
        ({}, 6 * MIB),
        ({"invocation": "async"}, MIB),
        ({"max_payload_bytes": 2000}, 2000),
        ({"invocation": "async", "payload": "batch"}, MIB - 2),
    ):
        acts = sink("http://127.0.0.1:1", "acts", **more)
        fits, over = [record(n, body(1, notes="n" * (most - empty + n - 1))) for n in (1, 2)]
        encoded = acts.encode(sealed(acts, [fits, over]))
        assert {index: error.kind for index, error in encoded.refused.items()} == {1: "too_large"}, more


@in_loop
async def test_an_array_is_cut_by_its_bytes(functions: LambdaClient, front: Front, s3: S3Client, bucket: str) -> None:
    acts = sink(front.url, new_function(functions, KEEPS, bucket), payload="batch", max_payload_bytes=5000)
    await write(acts, [record(n, body(n, notes="n" * 1000)) for n in range(1, 11)])
    await acts.close()
    assert all(len(came.body) <= 5000 for came in invocations(front))
    assert len(invocations(front)) == 4
    assert set(Effects(s3, bucket, front).effects()) == {str(n) for n in range(1, 11)}


ERRORS = [
    (refusal(429, "TooManyRequestsException", **{"Retry-After": "7"}), Throttled, "no"),
    (refusal(403, "ExpiredTokenException"), Misconfigured, "no"),
    (refusal(403, "AccessDeniedException"), Misconfigured, "no"),
    (refusal(502, "KMSAccessDeniedException"), Misconfigured, "no"),
    (refusal(400, "InvalidParameterValueException"), Misconfigured, "no"),
    (refusal(404, "ResourceNotFoundException"), Misconfigured, "no"),
    (refusal(413, "RequestTooLargeException"), Rejected, "no"),
    (refusal(400, "InvalidRequestContentException"), Rejected, "no"),
    (refusal(500, "ServiceException"), Transient, "unknown"),
    (refusal(409, "ResourceConflictException"), Transient, "no"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "applied"), ERRORS, ids=[one[0].headers["x-amzn-errortype"] for one in ERRORS]
)
@in_loop
async def test_errors_are_told_apart_by_their_codes(
    front: Front, answer: Answer, kind: type[SinkError], applied: str
) -> None:
    acts = sink(front.url, "acts")
    with front.scripted(lambda _: answer), pytest.raises((SinkError, PartialFailure)) as caught:
        await write(acts, [record(1)])
    await acts.close()
    error = caught.value.errors[0] if isinstance(caught.value, PartialFailure) else caught.value
    assert (type(error), error.applied) == (kind, applied)
    assert getattr(error, "retry_after", None) == (7.0 if kind is Throttled else None)
    assert len(invocations(front)) == 1


@in_loop
async def test_a_missing_function_is_found_at_the_start_and_nothing_runs(ministack: LocalServer) -> None:
    acts = sink(ministack.url, "nowhere")
    with pytest.raises(Misconfigured, match="Function not found"):
        await acts.open()
    await acts.close()


@in_loop
async def test_the_right_to_invoke_is_enough(ministack_auth: LocalServer, s3: S3Client) -> None:
    root: LambdaClient = aws_client(ministack_auth.url, "lambda")
    name = new_function(root, "def handler(event, context): return 1", "")
    arn = root.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    root.close()
    iam = aws_client(ministack_auth.url, "iam")
    user = f"user-{os.urandom(4).hex()}"
    iam.create_user(UserName=user)
    allow = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=user, PolicyName="one", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    iam.close()
    auth = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
    acts = sink(ministack_auth.url, name, auth=auth, timeout=5.0)
    await acts.open()
    assert await write(acts, [record(1)]) == "1 invoked"
    await acts.close()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"payload": "batch"},
        {"invocation": "async"},
        {"durable": True, "qualifier": "7"},
        {"client_context": {"a": "b"}},
    ],
)
@in_loop
async def test_the_preview_is_what_goes_over_the_wire(front: Front, more: dict[str, Any]) -> None:
    acts = sink(front.url, "acts", **more)
    encoded = acts.encode(sealed(acts, [record(n) for n in ((1,) if "durable" in more else (1, 2, 3))]))
    shown = await acts.preview(encoded)
    assert front.requests == 0
    with front.scripted(lambda came: Answer(202 if kind_of(came) == "Event" else 200, b"null")):
        await acts.write(encoded)
    await acts.close()
    sent = sorted(front.received, key=lambda came: came.body)
    assert sorted(index for request in shown for index in request.records) == list(range(len(encoded.batch.records)))
    assert [request.body for request in shown] == [came.body for came in sent]
    for request, came in zip(shown, sent, strict=True):
        assert request.target == front.url + came.path
        assert {name: came.headers[name] for name in request.headers} == request.headers


@pytest.mark.parametrize(("policy", "effects"), [("dead_letter", 1), ("keep", 1), ("version", 2)])
def test_an_execution_started_with_another_event_is_a_conflict(
    functions: LambdaClient, front: Front, s3: S3Client, bucket: str, policy: str, effects: int
) -> None:
    @in_loop
    async def check() -> None:
        name = new_function(functions, KEEPS, bucket, DurableConfig={"ExecutionTimeout": 60})
        acts = sink(front.url, name, durable=True, qualifier="$LATEST", on_conflict=policy)
        with front.scripted(DurableNames(front)):
            await acts.open()
            await write(acts, [record(1)])
            for _ in range(2):
                if policy == "dead_letter":
                    with pytest.raises((Conflict, PartialFailure)) as caught:
                        await write(acts, [record(1, body(1, other="content"))])
                    error = getattr(caught.value, "errors", {}).get(0, caught.value)
                    assert isinstance(error, Conflict)
                else:
                    await write(acts, [record(1, body(1, other="content"))])
        await acts.close()
        assert Effects(s3, bucket, front).effects() == {"1": effects}

    check()


@in_loop
async def test_a_durable_execution_that_failed_is_over_and_the_next_has_a_name_of_its_own(front: Front) -> None:
    acts = sink(front.url, "acts", durable=True, qualifier="7")
    batch = sealed(acts, [record(1)])
    with front.scripted(lambda _: failure("KeyError")), pytest.raises(Transient) as caught:
        await acts.write(acts.encode(batch))
    await acts.close()
    assert (caught.value.kind, caught.value.applied, caught.value.burned) == ("function_error", "no", True)
    assert [came.headers["x-amz-durable-execution-name"] for came in front.received] == ["1"]
    assert execution_name("{scan_id}", record(1), 2) == "1_g2"


@in_loop
async def test_a_function_that_is_not_durable_is_refused_before_it_runs_twice(
    functions: LambdaClient, front: Front, bucket: str
) -> None:
    acts = sink(front.url, new_function(functions, KEEPS, bucket), durable=True, qualifier="$LATEST")
    with pytest.raises(Misconfigured, match="is no durable function"):
        await acts.open()
    await acts.close()


def test_names_of_executions_are_allowed_and_never_meet() -> None:
    ids = [
        "1",
        "a_b",
        "a-b",
        "a.b",
        "a b",
        "a_5Fb",
        "木",
        "木" * 100,
        "木" * 101,
        "../x",
        "x" * 64,
        "x" * 65,
        "_",
        "_5F",
    ]
    names = [execution_name("{scan_id}", record(1, scan_id=one)) for one in ids]
    names += [execution_name("{scan_id}", record(1, scan_id="1", version=2)), execution_name("{scan_id}", record(1), 1)]
    assert len(set(names)) == len(names)
    for name in names:
        assert 0 < len(name) <= 64
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"invocation": "async", "client_context": {"a": "b"}}, "only with invocation: sync"),
        ({"client_context": {"a": "b" * 2700}}, "more than 3583 bytes"),
        ({"durable": True}, "needs a qualifier"),
        ({"durable": True, "qualifier": "7", "payload": "batch"}, "durable needs payload: scan"),
        ({"durable": True, "qualifier": "7", "execution_name": "{material}"}, "needs {scan_id}"),
        ({"function": "no such/name"}, "should match pattern"),
    ],
)
def test_options_that_lambda_would_refuse_are_refused_at_load(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LambdaSinkOptions.model_validate({"function": "acts", **given})


def test_an_arn_says_the_region_and_only_a_queued_event_is_given_up_soon() -> None:
    arn = "arn:aws:lambda:eu-west-1:222222222222:function:acts"
    assert LambdaSinkOptions.model_validate({"function": arn}).region == "eu-west-1"
    assert LambdaSinkOptions.model_validate({"function": arn}).timeout == 910
    assert LambdaSinkOptions.model_validate({"function": arn, "invocation": "async"}).timeout == 30


@in_loop
async def test_a_scan_is_asked_for_in_the_guides_words_and_failures_are_told_apart(
    functions: LambdaClient, front: Front, bucket: str
) -> None:
    asked = ScanRequest(frequency=220.0)
    performs = scanner(front.url, new_function(functions, SCANS, bucket))
    await performs.open()
    scan = json.loads(await performs.scan(asked))
    expected = {"signal_type": "sine", "frequency": 220.0, "duration": 2.0, "amplitude": 0.5}
    assert (scan["config"], json.loads(front.received[-1].body)) == (expected, expected)
    for signal in ("broken", "silent"):
        with pytest.raises(Transient) as caught:
            await performs.scan(ScanRequest(signal_type=signal))
        assert caught.value.applied == "unknown"
        assert caught.value.kind == ("function_error" if signal == "broken" else "transient")
    for answer, error in ((failure("ValueError"), Rejected), (refusal(429, "TooManyRequestsException"), Throttled)):
        with front.scripted(lambda _, found=answer: found), pytest.raises(error) as refused:  # type: ignore[misc]
            await performs.scan(asked)
        assert refused.value.applied == "no"
    await performs.close()
