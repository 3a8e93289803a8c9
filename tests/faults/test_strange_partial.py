"""A sink that tells of records which are not in its batch has a bug, and holds up no other destination."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from support.staged import staged

from scribe_export.errors import PartialFailure, Rejected
from scribe_export.model import Encoded


@pytest.mark.parametrize(
    ("acked", "errors"), [({5}, {}), ({-1}, {}), ({"1"}, {}), (set(), {7: Rejected("no")})], ids=str
)
def test_it_dies_as_a_bug_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acked: Any, errors: Any
) -> None:
    async def write(_: Encoded) -> str:
        raise PartialFailure(acked, errors)

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}, "b": {}}) as stage:
            monkeypatch.setattr(stage.sink("a"), "write", write)
            given = await stage.give(1, 3)
            await stage.clock.advance(3600.0)
            assert stage.sink("b").held == given
            assert {(letter.destination, letter.kind) for letter in await stage.dead()} <= {("a", "bug")}
            assert stage.exporter.lanes["a"].meter.attempts.keys() == {"bug"}

    anyio.run(scenario)
