"""A plan says what intake, rules, lanes and sinks would do, and does nothing."""

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.pipeline import Pipeline

from scribe_export.cli.plan_text import lines
from scribe_export.model import Batch, Encoded, Incoming, Request
from scribe_export.planning import Fate, Place, Plan, plan
from scribe_export.registry import register_sink
from scribe_export.testing.memory.sink import MemorySink

MOST = 4096
PLACE = Place(received_at=1_750_000_000.0)


class Talkative(MemorySink):
    """Tells its puts as requests."""

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        return [
            Request("put", str(put.name), {}, b"".join(body for _, body in put.rows), range(len(put.rows)))
            for put in encoded.payload
        ]


class Faulty(MemorySink):
    """Cannot encode what holds the word `bug`."""

    def encode(self, batch: Batch) -> Encoded:
        if any(b"bug" in record.body for record in batch.records):
            raise KeyError("bug")
        return super().encode(batch)


register_sink("planned_small", Talkative)
register_sink("planned_silent", MemorySink)
register_sink("planned_faulty", Faulty)


def scan(scan_id: int | str, *, audio: int = 0, **more: Any) -> bytes:
    document: dict[str, Any] = {"scan_id": scan_id, "timestamp": "2026-05-06T12:00:00Z", **more}
    return json.dumps(document | {"response": {"audio_data": [0.5] * audio}}).encode()


def found(material: str, confidence: float | None) -> dict[str, Any]:
    return {
        "interpretation": {
            "confidence_scores": {"overall": confidence},
            "pattern_matches": {"materials": [{"material": material}]},
        }
    }


def made(folder: Path, bodies: Sequence[bytes], destinations: Mapping[str, Mapping[str, Any]], **settings: Any) -> Plan:
    source = settings.pop("source", "send")
    scope = settings.pop("scope", None)
    place = settings.pop("place", PLACE)
    config = Pipeline(folder / "it", destinations, **settings).load()
    incoming = [Incoming(body, f"scans.jsonl:{number}") for number, body in enumerate(bodies, 1)]
    planned: Plan = anyio.run(partial(plan, config, incoming, place=place, source=source, scope=scope))
    assert {path.name for path in (folder / "it").iterdir()} == {"export.yaml"}, "a plan leaves nothing behind"
    assert "\x1b" not in "\n".join(lines(planned))
    return planned


def files(**more: Any) -> dict[str, Any]:
    return {"type": "file", "directory": "./archive", "key": "all/{scan_id}.json", **more}


def fates(planned: Plan, scan: int = 0) -> dict[str, Fate]:
    return planned.scans[scan].fates


def test_a_file_is_told_with_its_path_and_its_bytes(tmp_path: Path) -> None:
    planned = made(tmp_path, [scan(1), scan("a/b")], {"archive": files()})
    (archive,) = planned.destinations
    (batch,) = archive.batches
    assert [(one.request.method, one.request.target, one.request.body, one.scans) for one in batch.requests] == [
        ("create", str(tmp_path / "it" / "archive" / "all" / "1.json"), scan(1), ("1",)),
        ("create", str(tmp_path / "it" / "archive" / "all" / "a~2Fb.json"), scan("a/b"), ("a/b",)),
    ]
    assert {fate.batch for fates in (one.fates for one in planned.scans) for fate in fates.values()} == {batch.id}
    assert planned.sound


def test_what_did_not_match_is_told_with_what_the_scan_has(tmp_path: Path) -> None:
    rule = 'confidence >= 0.8 && material == "oak"'
    planned = made(
        tmp_path,
        [scan(1, **found("oak", 0.9)), scan(2, **found("elm", 0.5)), scan(3, **found("oak", None))],
        {
            "oak": files(when=rule),
            "rest": files(directory="./rest", when="otherwise"),
            "api": files(directory="./api", when='source == "api"'),
        },
    )
    assert fates(planned, 0)["rest"] == Fate("not_matched", why="oak matched")
    assert fates(planned, 0)["api"] == Fate("not_matched", why='source is "send"')
    assert fates(planned, 1)["oak"] == Fate("not_matched", why='confidence is 0.5, material is "elm"')
    assert fates(planned, 1)["rest"].verdict == "sent"
    assert fates(planned, 2)["oak"] == Fate("refused", "rule", "the rule failed: the scan has no confidence")
    assert not planned.sound
    text = "\n".join(lines(planned))
    assert 'oak   not sent: the rule does not match: confidence is 0.5, material is "elm"' in text
    assert "oak   refused: dead letter, class rule: the rule failed: the scan has no confidence" in text


def test_a_source_can_be_thought_of(tmp_path: Path) -> None:
    planned = made(
        tmp_path, [scan(1)], {"api": files(when='source == "api" && scan_id == "east:1"')}, source="api", scope="east"
    )
    assert fates(planned)["api"].verdict == "sent"
    assert planned.destinations[0].batches[0].requests[0].request.target.endswith("east~3A1.json")


def test_a_scan_that_goes_nowhere_is_no_failure_and_is_said(tmp_path: Path) -> None:
    planned = made(tmp_path, [scan(1)], {"never": files(when="false")})
    assert planned.sound
    assert "  goes nowhere: no destination matched" in list(lines(planned))
    assert "never (file): 0 batches" in list(lines(planned))


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"{", "invalid", "scans.jsonl:1: not JSON: "),
        (b"[]", "invalid", "scans.jsonl:1: a scan is a JSON object, this is an array"),
        (b"{}", "invalid", "scans.jsonl:1: no scan_id"),
        (scan(1, audio=1000), "too_large", "scans.jsonl:1: 5081 bytes, and journal.max_record is 1024"),
    ],
)
def test_what_is_no_scan_is_told_as_intake_would_judge_it(tmp_path: Path, body: bytes, kind: str, why: str) -> None:
    journal = {"quota": "1GiB", "max_record": "1KiB"}
    planned = made(tmp_path, [body, scan(2)], {"archive": files()}, journal=journal)
    assert (planned.scans[0].outcome, planned.scans[0].kind) == ("invalid", kind)
    assert planned.scans[0].why.startswith(why)
    assert planned.scans[0].fates == {}
    assert fates(planned, 1)["archive"].verdict == "sent"
    assert planned.destinations[0].batches[0].id.startswith("000000000002-"), "it has a number, as in the journal"
    assert not planned.sound


def test_a_scan_that_comes_again_is_taken_once_and_other_content_is_a_conflict(tmp_path: Path) -> None:
    spaced = scan(1).replace(b": ", b":")
    planned = made(
        tmp_path,
        [scan(1), spaced, scan(1, more=True)],
        {
            "dead": files(),
            "keeps": files(directory="./keeps", on_conflict="keep"),
            "version": files(directory="./version", on_conflict="version"),
        },
    )
    assert [one.outcome for one in planned.scans] == ["new", "duplicate", "conflict"]
    assert fates(planned, 1) == {}
    assert {name: (fate.verdict, fate.kind) for name, fate in fates(planned, 2).items()} == {
        "dead": ("refused", "conflict"),
        "keeps": ("kept", ""),
        "version": ("sent", ""),
    }
    names = [Path(one.request.target).name for one in planned.destinations[2].batches[0].requests]
    assert names == ["1.json", f"1~v{hashlib.sha256(scan(1, more=True)).hexdigest()[:12]}.json"]


def test_batches_are_those_of_the_lane(tmp_path: Path) -> None:
    lake = files(key="d={timestamp:%Y-%m-%d}/{batch_id}.{ext}", batch={"max_records": 2})
    bodies = [scan(1), scan(2, timestamp="2026-05-07T12:00:00Z"), scan(3), scan(4), scan(5)]
    planned = made(tmp_path, bodies, {"lake": lake})
    told = [(batch.scans, batch.name) for batch in planned.destinations[0].batches]
    ids = [batch.id for batch in planned.destinations[0].batches]
    assert [scans for scans, _ in told] == [["1"], ["2"], ["3", "4"], ["5"]]
    assert [number.partition("-")[0] for number in ids] == [f"{first:012d}" for first in (1, 2, 3, 5)]
    assert told[1][1] == f"d=2026-05-07/{ids[1]}.jsonl"
    again = made(tmp_path, bodies, {"lake": lake})
    elsewhere = made(tmp_path, bodies, {"lake": lake}, place=Place(PLACE.received_at, "f" * 32))
    assert [batch.id for batch in again.destinations[0].batches] == ids
    assert not {batch.id for batch in elsewhere.destinations[0].batches} & set(ids)


def test_what_can_never_be_accepted_is_refused_and_the_rest_is_sealed_without_it(tmp_path: Path) -> None:
    small = {"type": "planned_small", "max_record_bytes": MOST, "keeps": "batches"}
    planned = made(tmp_path, [scan(1, audio=2000), scan(2), scan(3)], {"small": small})
    assert (fates(planned, 0)["small"].verdict, fates(planned, 0)["small"].kind) == ("refused", "too_large")
    (batch,) = planned.destinations[0].batches
    assert batch.scans == ["2", "3"]
    assert batch.id.startswith("000000000002-")
    assert not planned.sound


def test_what_the_sink_cannot_name_is_refused_with_the_reason(tmp_path: Path) -> None:
    lake = files(key="d={timestamp:%Y-%m-%d}/{batch_id}.{ext}")
    planned = made(tmp_path, [scan(1, timestamp="soon"), scan(2)], {"lake": lake})
    assert fates(planned, 0)["lake"] == Fate("refused", "timestamp", "timestamp 'soon' is not ISO 8601")
    assert planned.destinations[0].batches[0].scans == ["2"]


def test_a_scan_that_is_too_large_is_trimmed_or_claim_checked_and_the_claim_is_told(tmp_path: Path) -> None:
    large = scan(1, audio=2000)
    small = {"type": "planned_small", "max_record_bytes": MOST, "keeps": "log"}
    planned = made(
        tmp_path,
        [large, scan(2)],
        {
            "trims": small | {"oversize": {"action": "trim"}},
            "points": small | {"oversize": {"action": "claim_check", "destination": "archive"}},
            "archive": files(when="false"),
        },
    )
    sha256 = hashlib.sha256(large).hexdigest()
    assert fates(planned)["trims"].verdict == "trimmed"
    assert fates(planned)["trims"].why == "too large; response.audio_data is left out"
    assert fates(planned)["points"].verdict == "claim_checked"
    assert [fates(planned, 1)[name].verdict for name in ("trims", "points")] == ["sent", "sent"]
    trims, points, _ = (destination.batches for destination in planned.destinations)
    assert json.loads(trims[0].requests[0].request.body)["response"] == {}
    pointer = json.loads(points[0].requests[0].request.body)["claim_check"]
    ((claim,), store) = points[0].claims, points[0].store
    assert (claim.request.method, claim.request.body, claim.scans, store) == ("create", large, ("1",), "archive")
    assert Path(claim.request.target).as_uri() == pointer["uri"]
    assert claim.request.target.endswith(f"archive/claims/{sha256}")
    assert planned.sound


def test_a_sink_that_tells_nothing_and_one_with_a_bug_are_said_to_be_so(tmp_path: Path) -> None:
    planned = made(
        tmp_path,
        [scan(1), scan("bug")],
        {"silent": {"type": "planned_silent"}, "faulty": {"type": "planned_faulty"}, "archive": files()},
    )
    text = "\n".join(lines(planned))
    assert "its requests cannot be shown: this destination does not tell them offline" in text
    assert "its requests cannot be shown: KeyError: 'bug'" in text
    assert planned.destinations[2].batches[0].requests
    assert not planned.sound


def test_a_compressed_body_is_described_and_its_beginning_shown(tmp_path: Path) -> None:
    body = scan(1, notes="\x1b[2J", audio=60)
    planned = made(tmp_path, [body], {"archive": files(key="all/{scan_id}.json.gz", compression="gzip")})
    request = planned.destinations[0].batches[0].requests[0].request
    assert gzip.GzipFile(fileobj=io.BytesIO(request.body)).read() == body
    text = "\n".join(lines(planned))
    assert f"{len(request.body)} bytes of gzip, which begin:" in text
    assert '          "scan_id": 1,' in text
    assert "more lines; --json has all of it" in text


def test_a_body_framed_in_chunks_is_shown_without_its_frame(tmp_path: Path) -> None:
    s3 = {"type": "aws_s3", "region": "eu-west-1", "bucket": "scans", "key": "all/{scan_id}.json"}
    planned = made(tmp_path, [scan(1)], {"s3": s3})
    request = planned.destinations[0].batches[0].requests[0].request
    assert request.headers["content-encoding"] == "aws-chunked"
    text = "\n".join(lines(planned))
    assert f"{len(request.body)} bytes, framed in chunks around {len(scan(1))} bytes:" in text
    assert '          "scan_id": 1,' in text


def test_the_file_sinks_preview_is_what_it_writes(tmp_path: Path) -> None:
    planned = made(tmp_path, [scan(1), scan(2)], {"archive": files(fields={"exclude": ["response"]})})
    pipeline = Pipeline(tmp_path / "it", {"archive": files(fields={"exclude": ["response"]})})
    (tmp_path / "it" / "scans.jsonl").write_bytes(scan(1) + b"\n" + scan(2))
    assert pipeline.call("send", str(tmp_path / "it" / "scans.jsonl")).returncode == 0
    assert pipeline.until_idle().returncode == 0
    requests = [one.request for one in planned.destinations[0].batches[0].requests]
    written = {str(path): path.read_bytes() for path in (tmp_path / "it" / "archive" / "all").iterdir()}
    assert {request.target: request.body for request in requests} == written
