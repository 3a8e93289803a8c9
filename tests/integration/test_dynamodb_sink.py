"""What is particular to items of DynamoDB, on both servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import anyio
import msgspec
import pytest
from support.front import Front
from support.loop import in_loop
from support.records import body, record, sealed, write
from support.s3 import aws_client
from support.tables import DENIED, EXPIRED, THROTTLED, UNAVAILABLE, failing_items, items, new_table, scan_id

from scribe_connectors.aws._dynamodb_values import item_size
from scribe_connectors.aws.dynamodb import DynamoDbSink, DynamoDbSinkOptions
from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Throttled, Transient
from scribe_export.interface import Context
from scribe_export.model import Record
from scribe_local.servers import LocalServer

TEST = {"access_key_id": "test", "secret_access_key": "test"}
STRING = {"partition_key": {"type": "string"}}
BATCH = {"writes": "batch", "on_conflict": "overwrite"}


def sink(server: LocalServer | Front, table: str, **options: Any) -> DynamoDbSink:
    given = {"table": table, "endpoint_url": server.url, "region": "us-east-1", "auth": TEST, **options}
    return DynamoDbSink(DynamoDbSinkOptions.model_validate(given), Context("index"))


@pytest.fixture
def dynamodb(aws: LocalServer) -> Iterator[Any]:
    with closing(aws_client(aws.url, "dynamodb")) as client:
        yield client


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


def stored(dynamodb: Any, table: str) -> dict[str, dict[str, Any]]:
    return {str(item["scan_id"]): item for item in items(dynamodb, table)}


def with_features(number: int, features: str) -> Record:
    return record(
        number, b'{"scan_id":%d,"timestamp":"2026-03-01T12:00:00Z","features":%s}' % (number, features.encode())
    )


@in_loop
async def test_an_item_is_what_the_guide_means_to_store(aws: LocalServer, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    index = sink(
        aws, table, ttl={"attribute": "expires_at", "after": 86_400.0}, attributes={"day": "{timestamp:%Y-%m}"}
    )
    await index.open()
    scan = record(1, body(1, features={"rms": 0.1, "peaks": [440, 1e-05], "none": None, "ok": True}))
    assert await write(index, [scan, record(2, b'{"scan_id":2}')]) == "2 created"
    await index.close()
    found = stored(dynamodb, table)
    assert found["1"] == {
        "scan_id": 1,
        "timestamp": "2026-03-01T12:00:00Z",
        "confidence": Decimal("0.91"),
        "material": "oak",
        "features": {"rms": Decimal("0.1"), "peaks": [440, Decimal("0.00001")], "none": None, "ok": True},
        "interpretation": json.loads(scan.body, parse_float=Decimal)["interpretation"],
        "expires_at": 1_772_366_400 + 86_400,
        "day": "2026-03",
        "scribe_sha256": scan.sha256,
        "scribe_order": Decimal("1780000001.000000000000000001"),
    }
    least = {"scan_id", "material", "expires_at", "day", "scribe_sha256", "scribe_order"}
    assert found["2"].keys() == least
    assert found["2"]["material"] == "unknown"
    assert found["2"]["expires_at"] == 1_780_000_002 + 86_400


NUMBERS = {
    "1e999": "1e999",
    "-1E-400": "-1E-400",
    str(2**70): Decimal(2**70),
    "9" * 38: Decimal("9" * 38),
    "1" * 40: "1" * 40,
    "1" + "0" * 60: Decimal(10**60),
    "0." + "123456789" * 5: "0." + "123456789" * 5,
    "-0.0": Decimal(0),
    "1e-130": Decimal("1e-130"),
    "9.9e125": Decimal("9.9e125"),
    "1e126": "1e126",
    "7" * 5000: "7" * 5000,
    "1e99999999999999999999": "1e99999999999999999999",
}


@in_loop
async def test_a_number_keeps_every_digit_or_becomes_text_and_is_listed(aws: LocalServer, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    index = sink(aws, table)
    texts = list(NUMBERS)
    await write(index, [with_features(1, f'{{"a":{{"b":[{",".join(texts)}]}},"empty":"","NaN":"NaN"}}')])
    await index.close()
    found = stored(dynamodb, table)["1"]
    assert dict(zip(texts, found["features"]["a"]["b"], strict=True)) == NUMBERS
    kept = [f"/features/a/b/{place}" for place, text in enumerate(texts) if isinstance(NUMBERS[text], str)]
    assert found["scribe_strings"] == kept
    assert (found["features"]["empty"], found["features"]["NaN"]) == ("", "NaN")


@pytest.mark.parametrize(
    ("features", "kind"),
    [
        ("NaN", "invalid"),
        ("[Infinity]", "invalid"),
        ("[" * 40 + "]" * 40, "too_deep"),
        ("[" * 100_000 + "]" * 100_000, "invalid"),
        ('{"":1}', "name"),
        (r'"\ud800"', "invalid"),
        (r'["\ud800",%s]' % ("7" * 5000), "invalid"),
    ],
)
def test_what_no_item_can_hold_is_refused_and_a_document_is_not_looked_into(features: str, kind: str) -> None:
    nowhere: Any = type("Server", (), {"url": "http://127.0.0.1:9"})
    index = sink(nowhere, "scans")
    scans = [with_features(1, "{}"), with_features(2, features), with_features(3, '{"a":1,"a":2}')]
    encoded = index.encode(sealed(index, scans))
    assert {place: error.kind for place, error in encoded.refused.items()} == {1: kind}
    assert [entry.member for entry in encoded.payload] == [0, 2]


def test_an_item_is_measured_by_the_services_own_rules() -> None:
    item: dict[str, Any] = {
        "id": {"N": "12345"},  # 2 + 3 + 1
        "neg": {"N": "-0.00120"},  # 3 + 1 + 1 + 1
        "text": {"S": "木é"},  # 4 + 5
        "flag": {"BOOL": True},  # 4 + 1
        "none": {"NULL": True},  # 4 + 1
        "data": {"B": "AAECAw=="},  # 4 + 4
        "list": {"L": [{"S": "ab"}, {"L": []}]},  # 4 + 3 + (1 + 2) + (1 + 3)
        "map": {"M": {"k": {"S": "v"}}},  # 3 + 3 + (1 + 1 + 1)
    }
    assert item_size(item) == 6 + 6 + 9 + 5 + 5 + 8 + 14 + 9


def test_an_item_is_refused_for_its_size_from_one_byte_too_many() -> None:
    nowhere: Any = type("Server", (), {"url": "http://127.0.0.1:9"})
    scan = with_features(1, '{"a":"%s"}' % ("x" * 3000))
    most = next(iter(sink(nowhere, "scans").encode(sealed(sink(nowhere, "scans"), [scan])).payload))
    size = item_size({name: msgspec.json.decode(value) for name, value in (*most.key, *most.rest)})
    for limit, refused in ((size, []), (size - 1, ["too_large"])):
        index = sink(nowhere, "scans", max_item_bytes=limit)
        assert [error.kind for error in index.encode(sealed(index, [scan])).refused.values()] == refused


@pytest.mark.parametrize("writes", ["conditional", "insert"])
@pytest.mark.parametrize("action", ["dead_letter", "keep", "overwrite", "version"])
def test_other_content_is_treated_as_the_destination_says(
    request: pytest.FixtureRequest, action: str, writes: str
) -> None:
    if writes == "insert":
        server: LocalServer = request.getfixturevalue("ministack")  # moto's INSERT replaces what is there
        check(server, action, writes)
    else:
        for name in ("ministack", "moto"):
            check(request.getfixturevalue(name), action, writes)


def check(server: LocalServer, action: str, writes: str) -> None:
    @in_loop
    async def run() -> None:
        with closing(aws_client(server.url, "dynamodb")) as dynamodb:
            table = new_table(dynamodb, key="S")
            index = sink(server, table, **STRING, on_conflict=action, writes=writes)
            first, other = record(1), record(2, body(1, features={"again": 1}), scan_id=1)
            await write(index, [first])
            if action == "dead_letter":
                with pytest.raises(PartialFailure) as caught:
                    await write(index, [other, record(3)])
                assert caught.value.acked == {1}
                assert isinstance(caught.value.errors[0], Conflict)
            else:
                verb = {"keep": "kept as it was", "overwrite": "overwritten", "version": "created as a version"}[action]
                assert await write(index, [other]) == f"1 {verb}"
                again = "kept as it was" if action == "keep" else "present"
                assert await write(index, [other]) == f"1 {again}"
            if action == "overwrite":
                assert await write(index, [first]) == "1 superseded"
            await index.close()
            found = {key: item["scribe_sha256"] for key, item in stored(dynamodb, table).items() if key != "3"}
            expected = {"1": other.sha256 if action == "overwrite" else first.sha256}
            if action == "version":
                expected[f"1~v{other.sha256[:12]}"] = other.sha256
            assert found == expected

    run()


@in_loop
async def test_an_item_written_by_others_is_ours_if_it_says_the_same(aws: LocalServer, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    scan = record(1)
    interpretation = {
        "M": {
            "confidence_scores": {"M": {"overall": {"N": "0.910"}}},
            "pattern_matches": {
                "M": {"materials": {"L": [{"M": {"material": {"S": "oak"}, "similarity": {"N": "0.9"}}}]}}
            },
        }
    }
    theirs: dict[str, Any] = {
        "scan_id": {"N": "1"},
        "timestamp": {"S": "2026-03-01T12:00:00Z"},
        "confidence": {"N": "0.91"},
        "material": {"S": "oak"},
        "interpretation": interpretation,
        "seen_by": {"S": "somebody"},
    }
    dynamodb.put_item(TableName=table, Item=theirs)
    index = sink(aws, table)
    assert await write(index, [scan]) == "1 present"
    dynamodb.put_item(TableName=table, Item={**theirs, "material": {"S": "pine"}})
    with pytest.raises(PartialFailure) as caught:
        await write(index, [scan])
    assert isinstance(caught.value.errors[0], Conflict)
    await index.close()


@in_loop
async def test_a_version_known_to_the_journal_stands_beside_the_first(aws: LocalServer, dynamodb: Any) -> None:
    table = new_table(dynamodb, sort=("what", "S"))
    index = sink(aws, table, sort_key={"name": "what", "value": "scan"}, on_conflict="version")
    await index.open()
    second = record(2, body(1, features={"again": 1}), scan_id=1, version=2)
    for _ in range(2):
        await write(index, [record(1), second])
    await index.close()
    assert {(item["scan_id"], item["what"]) for item in items(dynamodb, table)} == {
        (1, "scan"),
        (1, f"scan~v{second.sha256[:12]}"),
    }
    numbers = sink(aws, table)
    assert [error.kind for error in numbers.encode(sealed(numbers, [second])).refused.values()] == ["name"]


@in_loop
async def test_equal_keys_never_share_a_request_and_the_last_one_stays(front: Front, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    index = sink(front, table, **BATCH)
    scans = [
        record(number, body(1 + number % 3, features={"take": number}), scan_id=1 + number % 3) for number in range(60)
    ]
    assert await write(index, scans) == "60 put"
    await index.close()
    assert {key: int(item["features"]["take"]) for key, item in stored(dynamodb, table).items()} == {
        "1": 57,
        "2": 58,
        "3": 59,
    }
    for came in front.received:
        [puts] = json.loads(came.body).get("RequestItems", {"": []}).values()
        assert len({scan_id(put["PutRequest"]["Item"]) for put in puts}) == len(puts)


@in_loop
@pytest.mark.fault("F-11")
async def test_only_what_was_left_unprocessed_is_sent_again(front: Front, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    index = sink(front, table, **BATCH)
    with failing_items(front, lambda one: int(one) % 2 == 0), pytest.raises(PartialFailure) as caught:
        await write(index, [record(number) for number in range(1, 61)])
    assert caught.value.acked == set(range(0, 60, 2))
    assert {(type(error), error.applied) for error in caught.value.errors.values()} == {(Throttled, "no")}
    assert set(stored(dynamodb, table)) == {str(number) for number in range(1, 61, 2)}
    await index.close()


@pytest.mark.parametrize("options", [{}, BATCH], ids=["conditional", "batch"])
@pytest.mark.parametrize(
    ("answer", "kind"), [(THROTTLED, Throttled), (EXPIRED, Misconfigured)], ids=["less", "expired"]
)
def test_a_refusal_of_all_is_one_error_and_surely_without_effect(
    front: Front, dynamodb: Any, options: dict[str, Any], answer: Any, kind: type[Exception]
) -> None:
    @in_loop
    async def run() -> None:
        table = new_table(dynamodb)
        index = sink(front, table, concurrency=2, **options)
        before = front.requests
        with front.scripted(lambda _: answer), pytest.raises(kind) as caught:
            await write(index, [record(number) for number in range(1, 41)])
        assert getattr(caught.value, "applied", "") == "no"
        assert front.requests - before <= 2, "what waits is not sent into the same refusal"
        assert await write(index, [record(1)]) in {"1 created", "1 put"}
        await index.close()

    run()


@in_loop
async def test_one_item_that_draws_a_500_leaves_the_others_alone(front: Front, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    index = sink(front, table, concurrency=1)
    with failing_items(front, lambda one: one == "7"), pytest.raises(PartialFailure) as caught:
        await write(index, [record(number) for number in range(1, 21)])
    assert {place: (type(error), error.applied) for place, error in caught.value.errors.items()} == {
        6: (Transient, "unknown")
    }
    assert len(stored(dynamodb, table)) == 19
    await index.close()


@in_loop
async def test_a_table_that_is_not_there_or_has_other_keys_is_for_the_operator(aws: LocalServer, dynamodb: Any) -> None:
    for index, reason in (
        (sink(aws, "no-such-table"), "no table 'no-such-table'"),
        (sink(aws, new_table(dynamodb, key="S")), r"has the keys scan_id \(S\)"),
        (sink(aws, new_table(dynamodb, sort=("at", "S"))), r"has the keys scan_id \(N\), at \(S\)"),
    ):
        with pytest.raises(Misconfigured, match=reason):
            await index.open()
        await index.close()
    missing = sink(aws, "no-such-table")
    with pytest.raises(Misconfigured):
        await write(missing, [record(1), record(2)])
    await missing.close()


@pytest.mark.parametrize(
    "options", [{}, {"item": "document", "on_conflict": "overwrite"}, BATCH], ids=["conditional", "overwrite", "batch"]
)
def test_what_is_previewed_is_what_goes_over_the_wire(front: Front, dynamodb: Any, options: dict[str, Any]) -> None:
    preview_and_write(front, new_table(dynamodb), options)


def test_what_is_previewed_of_inserts_is_what_goes_over_the_wire(ministack: LocalServer) -> None:
    with (
        Front(ministack.port, unavailable=UNAVAILABLE, denied=DENIED) as front,
        closing(aws_client(ministack.url, "dynamodb")) as dynamodb,
    ):
        preview_and_write(front, new_table(dynamodb), {"writes": "insert"})


def preview_and_write(front: Front, table: str, options: dict[str, Any]) -> None:
    @in_loop
    async def run() -> None:
        index = sink(front, table, **options)
        encoded = index.encode(sealed(index, [record(number) for number in range(1, 41)]))
        shown = await index.preview(encoded)
        assert not front.received
        await index.write(encoded)
        await index.close()
        names = ("x-amz-target", "content-type")
        seen = sorted((came.body, *(came.headers[name] for name in names)) for came in front.received)
        assert sorted((one.body, *(one.headers[name] for name in names)) for one in shown) == seen
        assert sorted(place for one in shown for place in one.records) == list(range(40))

    run()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"partition_key": {"value": "{material}"}}, "needs {scan_id}"),
        ({"writes": "batch"}, "on_conflict: overwrite"),
        ({"writes": "insert", "table": "arn:aws:dynamodb:eu-west-1:222222222222:table/scans"}, "not its ARN"),
        ({"on_conflict": "version"}, "needs a key of type string"),
        ({"attributes": {"scribe_sha256": "{material}"}}, "written twice"),
        ({"ttl": {"attribute": "scan_id", "after": 60.0}}, "written twice"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("{", r"\{").replace("}", r"\}")):
        DynamoDbSinkOptions.model_validate({"table": "scans", **options})


def test_a_number_key_takes_canonical_numbers_only() -> None:
    nowhere: Any = type("Server", (), {"url": "http://127.0.0.1:9"})
    index = sink(nowhere, "scans")
    ids = ["7", "007", "-3", "-0", "1e3", "x", "9" * 39, " 1"]
    encoded = index.encode(sealed(index, [record(n, body(one), scan_id=one) for n, one in enumerate(ids)]))
    assert [entry.member for entry in encoded.payload] == [0, 2]
    assert {error.kind for error in encoded.refused.values()} == {"name"}
    anyio.run(index.close)
