"""A scan that its destination cannot take is sent smaller, or as a pointer to the whole of it; nobody else waits."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec
import pytest
from support.pipeline import Pipeline

from scribe_export.errors import ConfigError
from scribe_export.exporter import Exporter
from scribe_export.journal.batches import batches
from scribe_export.journal.dead import dead_letters
from scribe_export.registry import register_sink
from scribe_export.testing.memory.sink import MemorySink

pytestmark = pytest.mark.timeout(60)
MOST = 4096
register_sink("small", MemorySink)


def scan(number: int, audio: int = 0, **more: Any) -> bytes:
    document = {"scan_id": number, "timestamp": "2026-05-06T12:00:00Z", "features": {"rms": 0.25}, **more}
    return msgspec.json.encode(document | {"response": {"audio_data": [0.5] * audio, "sample_rate": 8000}})


def pipeline(folder: Path, oversize: Mapping[str, Any], *, keeps: str = "records", store: str = "claims") -> Pipeline:
    small = {
        "type": "small",
        "keeps": keeps,
        "max_record_bytes": MOST,
        "oversize": oversize,
        "batch": {"max_age": "50ms"},
    }
    small["retry"] = {"base_delay": "20ms", "max_delay": "40ms"}
    breaker = {"timeout": "50ms"}
    files = {
        "type": "file",
        "directory": f"./{store}",
        "key": "all/{scan_id}.json",
        "when": "false",
        "breaker": breaker,
    }
    return Pipeline(folder / "it", {"small": small, "archive": files})


def held(exporter: Exporter) -> dict[str, dict[str, Any]]:
    rows = list(cast("MemorySink", exporter.sinks["small"]).service.held())
    assert len(rows) == len({scan_id for scan_id, _ in rows}), "an effect is doubled"
    return {scan_id: msgspec.json.decode(body) for scan_id, body in rows}


async def until_held(exporter: Exporter, *scan_ids: str) -> dict[str, dict[str, Any]]:
    with anyio.fail_after(20):
        while not set(scan_ids) <= set(found := held(exporter)):  # noqa: ASYNC110 - the destination rings no bell
            await anyio.sleep(0.01)
    return found


@pytest.mark.parametrize("keeps", ["records", "batches"])
def test_a_claim_checked_scan_lies_whole_in_the_store_and_its_pointer_leads_there(tmp_path: Path, keeps: str) -> None:
    async def scenario() -> None:
        made = pipeline(tmp_path, {"action": "claim_check", "destination": "archive"}, keeps=keeps)
        large, long = scan(2, audio=5000), scan(3, notes="x" * MOST, claim_check="the scan's own")
        async with Exporter(made.load()) as exporter:
            await exporter.accept([scan(1), large, long], source="test")
            found = await until_held(exporter, "1", "2", "3")
        assert found["1"] == msgspec.json.decode(scan(1))
        for scan_id, body in (("2", large), ("3", long)):
            sha256 = hashlib.sha256(body).hexdigest()
            pointer = found[scan_id].pop("claim_check")
            whole = tmp_path / "it" / "claims" / "claims" / sha256
            assert pointer == {"uri": whole.as_uri(), "key": f"claims/{sha256}", "size": len(body), "sha256": sha256}
            assert whole.read_bytes() == body
        assert found["2"] == msgspec.json.decode(scan(2)) | {"response": {"sample_rate": 8000}}
        assert found["3"] == {"scan_id": 3, "timestamp": "2026-05-06T12:00:00Z"}

    anyio.run(scenario)


def test_only_the_scan_whose_store_is_down_waits_and_nothing_is_charged_or_dead(tmp_path: Path) -> None:
    async def scenario() -> None:
        made = pipeline(tmp_path, {"action": "claim_check", "destination": "archive"}, store="mounted/claims")
        async with Exporter(made.load()) as exporter:
            await exporter.accept([scan(1), scan(2, audio=5000), scan(3)], source="test")
            await until_held(exporter, "1", "3")
            for number in range(4, 30):
                await exporter.accept([scan(number)], source="test")
                await until_held(exporter, str(number))
            assert "2" not in held(exporter)
            assert exporter.lanes["small"].breaker.reason == ""
            (waiting,) = await exporter.store.do(batches)
            assert (waiting.count, waiting.attempts, waiting.kind) == (1, 0, "claim")

            (tmp_path / "it" / "mounted").mkdir()
            found = await until_held(exporter, "2")
            assert found["2"]["claim_check"]["size"] == len(scan(2, audio=5000))
            assert await exporter.store.do(lambda db: list(dead_letters(db))) == []

    anyio.run(scenario)


def test_trim_leaves_the_audio_out_and_what_is_still_too_large_is_a_dead_letter(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Exporter(pipeline(tmp_path, {"action": "trim"}).load()) as exporter:
            await exporter.accept([scan(1), scan(2, audio=5000), scan(3, notes="x" * MOST)], source="test")
            found = await until_held(exporter, "1", "2")
            assert found["1"] == msgspec.json.decode(scan(1)), "a scan that fits leaves as it is"
            assert found["2"]["response"] == {"sample_rate": 8000}
            letters = await exporter.store.do(lambda db: list(dead_letters(db)))
            assert [(letter.scan_id, letter.kind) for letter in letters] == [("3", "too_large")]

    anyio.run(scenario)


@pytest.mark.parametrize(
    ("oversize", "problem"),
    [
        ({"action": "claim_check"}, "claim_check needs the destination"),
        ({"action": "trim", "destination": "archive"}, "no other action has one"),
        (
            {"action": "claim_check", "destination": "archve"},
            'no destination is called "archve", did you mean "archive"?',
        ),
        (
            {"action": "claim_check", "destination": "small"},
            "a destination cannot keep what is too large for itself; name another",
        ),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_its_place(
    tmp_path: Path, oversize: Mapping[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match="oversize") as caught:
        pipeline(tmp_path, oversize).load()
    assert problem in str(caught.value)
