"""The corpus from Python, by `send`, and without a journal."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from support import poisoned_sources as sources
from support.corpus import EXPECTED, NO_SCANS, Mixed, body, names, scan_id
from support.oracle import held_in
from support.pipeline import Pipeline, until
from support.poisoned import JOURNAL, check_held

from scribe_export.cli.main import main
from scribe_export.errors import InvalidScan
from scribe_export.exporter import Exporter
from scribe_local import servers

pytestmark = pytest.mark.fault("F-33")
OUT: dict[str, Any] = {
    "type": "file",
    "directory": "./out",
    "key": "all/{batch_id}.{ext}",
    "batch": {"max_records": 500},
}
OUTCOMES = {"scan": "new", "duplicate": "duplicate", "conflict": "conflict"}
"""Of `deliver` and `send`, by what the table says."""


def test_python_is_told_of_each_body_what_it_is(tmp_path: Path) -> None:
    mixed = Mixed(names(), good=1)

    async def scenario() -> None:
        async with Exporter(Pipeline(tmp_path, {"out": OUT}, journal=JOURNAL).load()) as exporter:
            for good, name in mixed.groups():
                for one in good:
                    assert (await exporter.deliver(one)).outcome == "new"
                if not name:
                    continue
                expected = EXPECTED[name]
                if expected.journalled in NO_SCANS:
                    with pytest.raises(InvalidScan, match=expected.why):
                        await exporter.deliver(body(name))
                else:
                    accepted = await exporter.deliver(body(name))
                    assert (accepted.scan_id, accepted.outcome) == (scan_id(name), OUTCOMES[expected.journalled])
            exporter.flush()
            assert await exporter.until_idle(60)

    anyio.run(scenario)
    check_held(held_in(tmp_path / "out"), mixed.delivered().values())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_send_says_which_file_is_none_and_journals_nothing_of_it(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, {"out": OUT}, journal=JOURNAL)
    mixed = Mixed(names(), good=1)
    for good, name in mixed.groups():
        (tmp_path / "good.json").write_bytes(good[0])
        files = [str(tmp_path / "good.json")]
        if name:
            (tmp_path / f"{name}.json").write_bytes(body(name))
            files.append(str(tmp_path / f"{name}.json"))
        said = CliRunner().invoke(main, ["send", str(pipeline.path), *files])
        refused = name != "" and EXPECTED[name].journalled in NO_SCANS
        assert said.exit_code == int(refused), (name, said.output)
        assert said.stdout.count("accepted") == len(files) - refused, (name, said.output)
        assert "\x1b" not in said.output
        if refused:
            assert f"{name}.json: " in said.stderr
    assert pipeline.query("SELECT count(*) FROM delivery WHERE class IN ('invalid', 'too_large')") == [(0,)]
    pipeline.until_idle()
    check_held(held_in(tmp_path / "out"), mixed.delivered().values())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_without_a_journal_what_is_no_scan_goes_to_the_destination_for_dead_letters(
    tmp_path: Path, redis: servers.LocalServer
) -> None:
    """The stream keeps each message until it is at one of the two."""
    letters = {"type": "file", "directory": "./letters", "key": "all/{scan_id}.json"}
    destinations = {"out": {**OUT, "batch": {"max_records": 500, "max_age": "200ms"}}, "letters": letters}
    with (
        sources.redis(redis, "stream") as carried,
        Pipeline(
            tmp_path,
            destinations,
            sources={"in": carried.options},
            buffer="none",
            dead_letter="letters",
            journal=JOURNAL,
        ) as pipeline,
    ):
        wanted = carried.mixed.delivered()
        dead = [name for name in carried.mixed.rows if EXPECTED[name].journalled in {*NO_SCANS, "conflict"}]
        run = pipeline.start()
        until(
            lambda: len(held_in(tmp_path / "out")) >= len(wanted) and len(held_in(tmp_path / "letters")) >= len(dead),
            within=200,
            what="every message at its place",
            seen=lambda: (
                f"{len(held_in(tmp_path / 'out'))} {len(held_in(tmp_path / 'letters'))}" + run.log.read_text()[-2000:]
            ),
        )
        run.terminate()
        assert run.ended() == 0
    check_held(held_in(tmp_path / "out"), wanted.values())
    kept = [json.loads(letter) for letter in held_in(tmp_path / "letters")]
    check_held(
        [one["body"].encode() if "body" in one else bytes.fromhex(one["body_hex"]) for one in kept], map(body, dead)
    )
