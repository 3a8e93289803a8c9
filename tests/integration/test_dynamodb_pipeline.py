"""The whole pipeline over DynamoDB: in part unprocessed, throttled, without credentials, oversize, and out again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.front import Answer, Front, Received
from support.oracle import Oracle, held_in
from support.pipeline import Pipeline
from support.records import body
from support.s3 import aws_client
from support.tables import DENIED, EXPIRED, THROTTLED, UNAVAILABLE, as_json, changes, items, new_table, scan_id

from scribe_local.servers import LocalServer

COUNT = 200


@pytest.fixture
def dynamodb(aws: LocalServer) -> Iterator[Any]:
    with closing(aws_client(aws.url, "dynamodb")) as client:
        yield client


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=UNAVAILABLE, denied=DENIED) as front:
        yield front


def destination(url: str, table: str, **options: Any) -> dict[str, Any]:
    return {
        "type": "aws_dynamodb",
        "table": table,
        "endpoint_url": url,
        "region": "us-east-1",
        "auth": {"access_key_id": "test", "secret_access_key": "test"},
        "retry": {"base_delay": "20ms", "max_delay": "200ms", "max_attempts": 6},
        "breaker": {"timeout": "100ms"},
        **options,
    }


def pipeline(folder: Path, scans: list[bytes], **destinations: dict[str, Any]) -> Pipeline:
    made = Pipeline(folder / "it", destinations, sources={"scans": {"type": "file", "path": "scans.jsonl"}})
    (folder / "it" / "scans.jsonl").write_bytes(b"".join(scan + b"\n" for scan in scans))
    return made


class LeavesUnprocessed:
    """Two of five items of each of the first `rounds` requests are not put; `puts` counts what was, by scan id."""

    def __init__(self, rounds: int) -> None:
        self.left_rounds = rounds
        self.left: dict[bytes, set[str]] = {}
        self.puts: Counter[str] = Counter()

    def request(self, came: Received) -> bytes:
        document = json.loads(came.body)
        if "RequestItems" not in document:
            return bytes(came.body)
        [(table, puts)] = document["RequestItems"].items()
        ids = [scan_id(put["PutRequest"]["Item"]) for put in puts]
        left: set[str] = set()
        if self.left_rounds > 0 and len(ids) > 1:
            self.left_rounds -= 1
            left = {one for place, one in enumerate(ids) if place % 5 < 2}
        self.left[came.body] = left
        self.puts.update(one for one in ids if one not in left)
        document["RequestItems"] = {
            table: [put for put, one in zip(puts, ids, strict=True) if one not in left],
        }
        return json.dumps(document).encode()

    def answer(self, came: Received, answer: bytes) -> bytes:
        left = self.left.get(came.body)
        if not left:
            return answer
        [(table, puts)] = json.loads(came.body)["RequestItems"].items()
        unprocessed = [put for put in puts if scan_id(put["PutRequest"]["Item"]) in left]
        return json.dumps({"UnprocessedItems": {table: unprocessed}}).encode()


@pytest.mark.fault("F-11")
def test_unprocessed_items_converge_and_each_is_written_once(tmp_path: Path, front: Front, dynamodb: Any) -> None:
    table, oracle = new_table(dynamodb), Oracle()
    faulty = LeavesUnprocessed(rounds=5)
    index = destination(front.url, table, item="document", writes="batch", on_conflict="overwrite")
    with (
        front.meddling(faulty.request, faulty.answer),
        pipeline(tmp_path, [oracle.give(n) for n in range(COUNT)], index=index) as made,
    ):
        finished = made.until_idle("--max-wait", "60s")
        row = made.status()["index"]
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert faulty.left_rounds == 0
    assert (row.delivered, row.dead, row.pending) == (COUNT, 0, 0)
    assert set(faulty.puts.values()) == {1}, "what was processed was sent again"
    assert str(oracle.compare(as_json(item) for item in items(dynamodb, table))) == "no difference"


@pytest.mark.parametrize("answer", [THROTTLED, EXPIRED, UNAVAILABLE], ids=["throttled", "expired", "unavailable"])
def test_nothing_is_dead_while_dynamodb_refuses_and_all_is_there_once_it_does_not(
    tmp_path: Path, aws: LocalServer, front: Front, dynamodb: Any, answer: Answer
) -> None:
    table, oracle = new_table(dynamodb), Oracle()
    index = destination(front.url, table, item="document")
    with pipeline(tmp_path, [oracle.give(n) for n in range(COUNT)], index=index) as made:
        with front.scripted(lambda came: answer if b'"Item"' in came.body else None):
            assert made.until_idle("--max-wait", "4s").returncode == 1
            row = made.status()["index"]
            assert (row.delivered, row.dead, row.pending) == (0, 0, COUNT)
        finished = made.until_idle("--max-wait", "60s")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert str(oracle.compare(as_json(item) for item in items(dynamodb, table))) == "no difference"
    with closing(aws_client(aws.url, "dynamodbstreams")) as streams:
        assert set(Counter(changes(streams, dynamodb, table)).values()) == {1}


@pytest.mark.fault("F-09")
def test_lost_answers_leave_each_item_written_once(
    tmp_path: Path, aws: LocalServer, front: Front, dynamodb: Any
) -> None:
    table, oracle = new_table(dynamodb), Oracle()
    index = destination(front.url, table, item="document")
    with pipeline(tmp_path, [oracle.give(n) for n in range(COUNT)], index=index) as made:
        with front.losing_answers(lambda came: b'"Item"' in came.body):
            assert made.until_idle("--max-wait", "4s").returncode == 1
        assert items(dynamodb, table), "the front lost the requests too"
        finished = made.until_idle("--max-wait", "60s")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert str(oracle.compare(as_json(item) for item in items(dynamodb, table))) == "no difference"
    with closing(aws_client(aws.url, "dynamodbstreams")) as streams:
        assert set(Counter(changes(streams, dynamodb, table)).values()) == {1}


def test_an_oversize_scan_leaves_its_pointer_in_an_item(tmp_path: Path, front: Front, dynamodb: Any) -> None:
    table = new_table(dynamodb)
    oversize = {"action": "claim_check", "destination": "archive"}
    index = destination(front.url, table, oversize=oversize, max_item_bytes="2KiB")
    archive = {"type": "file", "directory": "./kept", "key": "all/{scan_id}.json", "when": "false"}
    large = body(2, features={"spectrum": [0.123456789] * 1000})
    with pipeline(tmp_path, [body(1), large, body(3)], index=index, archive=archive) as made:
        finished = made.until_idle("--max-wait", "60s")
    assert finished.returncode == 0, finished.stderr[-3000:]
    found = {int(item["scan_id"]): item for item in items(dynamodb, table)}
    assert found.keys() == {1, 2, 3}
    assert "features" not in found[2]
    assert (found[2]["material"], str(found[2]["confidence"])) == ("oak", "0.91")
    pointer = found[2]["claim_check"]
    assert Path(pointer["uri"].removeprefix("file://")).read_bytes() == large
    assert (pointer["size"], pointer["sha256"]) == (len(large), found[2]["scribe_sha256"])


def test_a_table_feeds_another_destination_once_also_when_the_journal_has_forgotten(
    tmp_path: Path, aws: LocalServer, dynamodb: Any
) -> None:
    table, oracle = new_table(dynamodb), Oracle()
    index = destination(aws.url, table, item="document")
    with pipeline(tmp_path, [oracle.give(n) for n in range(COUNT)], index=index) as made:
        assert made.until_idle("--max-wait", "60s").returncode == 0
    back = {name: index[name] for name in ("type", "table", "endpoint_url", "region", "auth")}
    files = {"type": "file", "directory": "./copy", "key": "all/{batch_id}.{ext}"}
    settings: dict[str, Any] = {"journal": {"quota": "1GiB", "history": "1ms"}}
    with Pipeline(tmp_path / "back", {"copy": files}, sources={"table": back}, **settings) as made:
        for _ in range(3):
            finished = made.until_idle("--max-wait", "60s")
            assert finished.returncode == 0, finished.stderr[-3000:]
        assert made.status()["copy"].delivered == COUNT
    assert str(oracle.compare(held_in(tmp_path / "back" / "copy"))) == "no difference"
