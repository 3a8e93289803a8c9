"""The corpus through every source, each on its real local server, to the journal and one destination.

The journal stands between sources and destinations: what a row becomes in it is compared here, body for body, with what
the table says, and `test_sinks` starts from such a journal. What a carrier cannot carry, it cannot bring:
`poisoned_sources` says what and why.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support import poisoned_sources as sources
from support.oracle import held_in
from support.pipeline import Pipeline
from support.poisoned import JOURNAL, check_frugal, check_held, check_letters
from support.poisoned_sources import Carried
from support.usage import ended

pytestmark = [pytest.mark.fault("F-33"), pytest.mark.slow, pytest.mark.timeout(400)]

Of = Callable[..., AbstractContextManager[Carried]]
SOURCES: dict[str, tuple[Of, str, tuple[str, ...]]] = {
    "aws_s3": (sources.s3, "ministack", ()),
    "aws_sqs": (sources.sqs, "ministack", ()),
    "aws_dynamodb": (sources.dynamodb, "ministack", ()),
    "gcp_storage": (sources.gcs, "fake_gcs", ()),
    "gcp_pubsub": (sources.pubsub, "pubsub", ()),
    "gcp_bigquery": (sources.table, "bigquery", ()),
    "rabbitmq": (sources.rabbitmq, "rabbitmq", ()),
    "redis list": (sources.redis, "redis", ("list",)),
    "redis stream": (sources.redis, "redis", ("stream",)),
}


@pytest.mark.parametrize(("of", "server", "more"), SOURCES.values(), ids=SOURCES)
def test_the_corpus_comes_through_as_the_table_says(
    request: pytest.FixtureRequest, tmp_path: Path, of: Of, server: str, more: tuple[str, ...]
) -> None:
    out = {"type": "file", "directory": "./out", "key": "all/{batch_id}.{ext}", "batch": {"max_age": "60s"}}
    with (
        of(request.getfixturevalue(server), *more) as carried,
        Pipeline(tmp_path, {"out": out}, sources={"in": carried.options}, journal=JOURNAL) as pipeline,
    ):
        run = pipeline.start("--until-idle", "--max-wait", "200s")
        usage = ended(run, 220)
        assert usage.exit_code == 1, run.log.read_text()[-3000:]
        check_letters(pipeline, carried.mixed, {"out": ()})
    check_held(held_in(tmp_path / "out"), carried.mixed.delivered().values())
    assert {entry["origin"] for entry in run.said("passed over")} == carried.passed_over
    check_frugal(run, usage, carried.mixed)
