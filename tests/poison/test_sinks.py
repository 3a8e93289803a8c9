"""The corpus from the journal to every kind of destination, each on its real local server.

The journal is filled from files, as every source fills it (`test_sources`): what it holds is the same whichever source
brought it, so each row meets each destination here, and need not do so once a source.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from support import poisoned_sinks as sinks
from support.corpus import Mixed, names
from support.pipeline import Pipeline
from support.poisoned import JOURNAL, check_frugal, check_held, check_letters, write_objects
from support.poisoned_sinks import Sink
from support.scribe_tables import PARTS
from support.usage import ended

from scribe_local import servers

pytestmark = [pytest.mark.fault("F-33"), pytest.mark.slow, pytest.mark.timeout(600)]


def deliver(folder: Path, found: Mapping[str, Sink], mixed: Mixed) -> None:
    """Run a pipeline from files to all of these until nothing moves, and look at what they have."""
    write_objects(folder / "in", mixed)
    destinations = {name: {"batch": {"max_age": "60s"}, **one.options} for name, one in found.items()}
    with Pipeline(folder, destinations, sources={"in": {"type": "file", "path": "in/*"}}, journal=JOURNAL) as pipeline:
        run = pipeline.start("--until-idle", "--max-wait", "400s")
        usage = ended(run, 420)
        assert usage.exit_code == 1, run.log.read_text()[-3000:]
        check_letters(pipeline, mixed, {name: one.traits for name, one in found.items()})
    for one in found.values():
        wanted = mixed.delivered(*one.traits)
        if one.bodies:
            check_held(one.bodies(), wanted.values())
        if one.ids:
            check_held([name.encode() for name in one.ids()], [name.encode() for name in wanted])
    check_frugal(run, usage, mixed)


def test_aws_has_what_the_table_says(tmp_path: Path, ministack: servers.LocalServer) -> None:
    with sinks.aws(ministack) as found:
        deliver(tmp_path, found, Mixed(names()))


def test_a_function_has_what_the_table_says(tmp_path: Path, ministack: servers.LocalServer) -> None:
    with sinks.functions(ministack) as found:
        deliver(tmp_path, found, Mixed(names()))


def test_google_cloud_has_what_the_table_says(
    tmp_path: Path, fake_gcs: servers.LocalServer, pubsub: servers.LocalServer, bigquery: servers.BigQuery
) -> None:
    with sinks.google(fake_gcs, pubsub, bigquery) as found:
        deliver(tmp_path, found, Mixed(names()))


def test_redis_and_rabbitmq_have_what_the_table_says(
    tmp_path: Path, redis: servers.LocalServer, rabbitmq: servers.RabbitMq
) -> None:
    with sinks.queues(redis, rabbitmq) as found:
        deliver(tmp_path, found, Mixed(names()))


def test_the_database_has_what_the_table_says(tmp_path: Path) -> None:
    """A row has all parts of a scan, so that here the scans have them too."""
    deliver(tmp_path, sinks.database(tmp_path), Mixed(names(), parts=PARTS))
