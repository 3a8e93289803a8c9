"""S3 that throttles, forgets its answers, or takes the credentials for expired, until it does no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.front import Answer, Front, Received
from support.objects import contents
from support.oracle import Oracle
from support.pipeline import Pipeline, until
from support.s3 import new_bucket, s3_client
from support.stored import versions

from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SLOW_DOWN = Answer(503, b"<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>", "text/xml")
EXPIRED = Answer(400, b"<Error><Code>ExpiredToken</Code><Message>Expired</Message></Error>", "text/xml")
FORMS: dict[str, dict[str, Any]] = {
    "each": {"key": "each/{scan_id}.json", "batch": {"max_records": 50}},
    "parquet": {"key": "lake/{batch_id}.{ext}", "format": "parquet", "batch": {"max_records": 20, "max_age": "50ms"}},
}
forms = pytest.mark.parametrize("form", list(FORMS))


@pytest.fixture
def store(aws: LocalServer) -> Iterator[S3Client]:
    client = s3_client(aws.url)
    yield client
    client.close()


@pytest.fixture
def front(aws: LocalServer) -> Iterator[Front]:
    with Front(aws.port, unavailable=SLOW_DOWN, denied=EXPIRED) as front:
        yield front


def pipeline(folder: Path, front: Front, bucket: str, form: str, oracle: Oracle, amount: int) -> Pipeline:
    archive: dict[str, Any] = {
        "type": "aws_s3",
        "bucket": bucket,
        "endpoint_url": front.url,
        "region": REGION,
        "auth": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
        "retry": {"base_delay": "20ms", "max_delay": "200ms", "max_attempts": 3},
        "breaker": {"timeout": "100ms"},
    }
    made = Pipeline(
        folder, {"archive": archive | FORMS[form]}, sources={"scans": {"type": "file", "path": "scans.jsonl"}}
    )
    (folder / "scans.jsonl").write_bytes(b"".join(oracle.give(n) + b"\n" for n in range(1, amount + 1)))
    return made


def expect_each_once(store: S3Client, bucket: str, oracle: Oracle) -> None:
    held = versions(store, bucket, "")
    assert set(held.values()) == {1}
    bodies = [one for key in held for one in contents(key, store.get_object(Bucket=bucket, Key=key)["Body"].read())]
    assert str(oracle.compare(bodies)) == "no difference"


def storm(answer: Answer, first: int, alternating: int) -> Callable[[Received], Answer | None]:
    """The answer to the first requests that write, then to every second one."""
    numbers = count(1)

    def script(came: Received) -> Answer | None:
        if came.method != "PUT":
            return None
        number = next(numbers)
        return answer if number <= first or (number <= first + alternating and number % 2) else None

    return script


@pytest.mark.timeout(120)
@forms
@pytest.mark.fault("F-06")
def test_after_a_storm_of_slow_down_each_scan_is_there_once(
    tmp_path: Path, front: Front, store: S3Client, form: str
) -> None:
    oracle, bucket = Oracle(), new_bucket(store, versioned=True)
    with pipeline(tmp_path / "it", front, bucket, form, oracle, 200) as run, front.scripted(storm(SLOW_DOWN, 20, 40)):
        finished = run.until_idle("--max-wait", "60s")
        assert finished.returncode == 0, finished.stderr[-2000:]
        row = run.status()["archive"]
        assert (row.delivered, row.dead, row.pending) == (200, 0, 0)
    expect_each_once(store, bucket, oracle)


@pytest.mark.timeout(120)
@forms
@pytest.mark.fault("F-09")
def test_every_objects_first_answer_is_lost_and_nothing_doubled(
    tmp_path: Path, front: Front, store: S3Client, form: str
) -> None:
    oracle, bucket = Oracle(), new_bucket(store, versioned=True)
    lost: set[str] = set()

    def is_first(came: Received) -> bool:
        if came.method in {"GET", "HEAD"} or came.path in lost:
            return False
        lost.add(came.path)
        return True

    with pipeline(tmp_path / "it", front, bucket, form, oracle, 200) as run, front.losing_answers(is_first):
        finished = run.until_idle("--max-wait", "90s")
        assert finished.returncode == 0, finished.stderr[-2000:]
        row = run.status()["archive"]
        assert (row.delivered, row.dead, row.pending) == (200, 0, 0)
    assert len(lost) == len(versions(store, bucket, "")) >= 10
    expect_each_once(store, bucket, oracle)


@pytest.mark.timeout(120)
@forms
@pytest.mark.fault("F-26")
def test_expired_credentials_hold_everything_and_cost_no_attempts(
    tmp_path: Path, front: Front, store: S3Client, form: str
) -> None:
    oracle, bucket = Oracle(), new_bucket(store, versioned=True)
    expired, written = [True], count(1)

    def script(came: Received) -> Answer | None:
        return EXPIRED if came.method == "PUT" and next(written) > 4 and expired[0] else None

    with pipeline(tmp_path / "it", front, bucket, form, oracle, 200) as run, front.scripted(script):
        running = run.start()
        running.wait_for("destination held", destination="archive")
        until(lambda: len(running.said("destination held")) >= 2, what="being held at each probe")
        row = run.status()["archive"]
        assert row.dead == 0
        assert row.pending > 0
        assert run.query("SELECT max(attempts) FROM batch") == [(0,)]
        expired[0] = False
        until(lambda: run.status()["archive"].pending == 0, what="going on by itself")
        running.terminate()
        assert running.ended() == 0
        row = run.status()["archive"]
        assert (row.delivered, row.dead) == (200, 0)
    expect_each_once(store, bucket, oracle)


@pytest.mark.timeout(120)
def test_a_parquet_archive_feeds_another_destination_once_however_often_it_is_run(
    tmp_path: Path, aws: LocalServer, front: Front, store: S3Client
) -> None:
    oracle, bucket = Oracle(), new_bucket(store, versioned=True)
    with pipeline(tmp_path / "one", front, bucket, "parquet", oracle, 200) as run:
        assert run.until_idle("--max-wait", "60s").returncode == 0
    source = {
        "type": "aws_s3",
        "bucket": bucket,
        "prefix": "lake/",
        "endpoint_url": aws.url,
        "region": REGION,
        "auth": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
    }
    copy = {"type": "file", "directory": "copy", "key": "scans/{scan_id}.json"}
    with Pipeline(tmp_path / "two", {"copy": copy}, sources={"old": source}) as again:
        for _ in range(2):
            finished = again.until_idle("--max-wait", "60s")
            assert finished.returncode == 0, finished.stderr[-2000:]
            assert again.status()["copy"].delivered == 200
    copied = [path.read_bytes() for path in (tmp_path / "two" / "copy" / "scans").glob("*.json")]
    assert str(oracle.compare(copied)) == "no difference"
