"""What a destination says in words that cannot be stored holds up no other destination."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from support.staged import staged

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, Transient
from scribe_export.model import Encoded

HALF = "caf\udcff"
SAID = [
    Transient(HALF),
    Transient("no", kind=HALF),
    Rejected(HALF),
    Rejected("no", kind=HALF),
    Misconfigured(HALF),
    PartialFailure({0}, {1: Rejected(HALF)}, answer=HALF),
    ValueError(HALF),
    HALF,
    5,
    b"\xff",
]


@pytest.mark.parametrize("said", SAID, ids=ascii)
def test_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    async def write(_: Encoded) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}, "b": {}}) as stage:
            monkeypatch.setattr(stage.sink("a"), "write", write)
            given = await stage.give(1, 3)
            await stage.clock.advance(600.0)
            assert stage.sink("b").held == given
            assert stage.exporter.lanes["a"].meter.attempts.total() > 0

    anyio.run(scenario)
