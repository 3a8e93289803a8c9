"""The simulator over HTTP, asked as the integration guide's clients ask."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scribe_local import servers
from scribe_local.config import ScanConfig
from scribe_local.interpretation import Patterns
from scribe_local.process import ServerFailed
from scribe_local.scans import Bench, generate


@pytest.fixture
def client(simulator: servers.Simulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator.url, timeout=30) as client:
        yield client


def _scan(client: httpx.Client, **config: Any) -> dict[str, Any]:
    response = client.post("/scan", json=config)
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def test_the_guides_requests_are_answered_as_the_guide_reads_them(client: httpx.Client) -> None:
    assert client.get("/health").status_code == 200

    result = _scan(client, signal_type="sine", frequency=440, duration=2.0, amplitude=0.5)
    assert isinstance(result["scan_id"], int)
    assert f"{result['interpretation']['confidence_scores']['overall']:.1%}".endswith("%")
    material = result["interpretation"].get("pattern_matches", {}).get("materials", [{}])[0].get("material", "Unknown")
    assert material != "Unknown"
    assert result["interpretation"]["insights"]
    assert result["features"]["time_domain"]["rms"] > 0
    assert result["response"]["audio_data"]
    assert result["config"] == {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}

    history = client.get("/scans", params={"limit": 5}).json().get("scans", [])
    assert [scan["scan_id"] for scan in history] == list(range(result["scan_id"], result["scan_id"] - 5, -1))
    assert history[0] == client.get(f"/scans/{result['scan_id']}").json() == result

    feedback = {"scan_id": result["scan_id"], "feedback_type": "comment", "feedback_data": {"text": "good"}}
    assert client.post("/feedback", json=feedback).json()["status"] == "recorded"

    ids = [scan["scan_id"] for scan in history[:3]]
    compared = client.post("/compare", json=ids).json()
    assert compared["scan_ids"] == ids
    assert [pair["scan_ids"] for pair in compared["comparisons"]] == [ids[:2], [ids[0], ids[2]], ids[1:]]
    assert all(0 <= pair["similarity"] <= 1 for pair in compared["comparisons"])


def test_scans_lists_ten_unless_told_otherwise(client: httpx.Client) -> None:
    assert len(client.get("/scans").json()["scans"]) == 10
    assert len(client.get("/scans?limit=1").json()["scans"]) == 1


def test_a_scans_bytes_are_the_same_each_time_and_in_the_list(client: httpx.Client) -> None:
    scan_id = _scan(client)["scan_id"]
    first = client.get(f"/scans/{scan_id}").content
    assert client.get(f"/scans/{scan_id}").content == first
    assert first in client.get("/scans", params={"limit": 50}).content


def test_fields_left_out_take_the_guides_defaults(client: httpx.Client) -> None:
    assert _scan(client)["config"] == {"signal_type": "sine", "frequency": 440.0, "duration": 2.0, "amplitude": 0.5}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/scan", b"{", 422, "not JSON"),
        ("POST", "/scan", b"[]", 422, "must be a JSON object"),
        ("POST", "/scan", b"\xff", 422, "not JSON"),
        ("POST", "/scan", b'{"signal_type": "song"}', 422, "signal_type is 'song'"),
        ("POST", "/scan", b'{"frequency": "440"}', 422, "frequency must be a number"),
        ("POST", "/scan", b'{"frequency": true}', 422, "frequency must be a number"),
        ("POST", "/scan", b'{"frequency": 1e300}', 422, "frequency is 1e+300"),
        ("POST", "/scan", b'{"duration": 0}', 422, "duration is 0"),
        ("POST", "/scan", b'{"amplitude": 2}', 422, "amplitude is 2"),
        ("POST", "/scan", b'{"material": "oak"}', 422, "unknown field 'material'"),
        ("POST", "/scan", b'"' + b"x" * (1024 * 1024) + b'"', 413, "larger than"),
        ("GET", "/scan", b"", 405, "Method Not Allowed"),
        ("GET", "/scans?limit=0", b"", 422, "limit must be a whole number above 0"),
        ("GET", "/scans?limit=many", b"", 422, "limit must be a whole number above 0"),
        ("GET", "/scans?limit=99999999999999999999", b"", 422, "limit must be a whole number above 0"),
        ("GET", "/scans/none", b"", 422, "scan_id must be a whole number"),
        ("GET", "/scans/999999999", b"", 404, "scan 999999999 not found"),
        ("GET", "/nowhere", b"", 404, "Not Found"),
        ("POST", "/feedback", b"{}", 422, "feedback_type"),
        ("POST", "/feedback", b'{"scan_id": true, "feedback_type": "a", "feedback_data": {}}', 422, "scan_id"),
        ("POST", "/feedback", b'{"scan_id": 1, "feedback_type": "a", "feedback_data": 3}', 422, "feedback_data"),
        ("POST", "/feedback", b'{"scan_id": 999999999, "feedback_type": "a", "feedback_data": {}}', 404, "not found"),
        (
            "POST",
            "/feedback",
            b'{"scan_id": 1, "feedback_type": "material_correction", "feedback_data": {"correct_material": "butter"}}',
            422,
            "correct_material is 'butter'; known are oak",
        ),
        (
            "POST",
            "/feedback",
            b'{"scan_id": 1, "feedback_type": "material_correction", "feedback_data": {"correct_material": ["oak"]}}',
            422,
            "correct_material is",
        ),
        ("POST", "/compare", b"[1]", 422, "a list of 2 to"),
        ("POST", "/compare", b"[1, 1]", 422, "named twice"),
        ("POST", "/compare", b'[1, "2"]', 422, "scan_id must be a whole number"),
        ("POST", "/compare", b"[1, 999999999]", 404, "scan 999999999 not found"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_reason(
    client: httpx.Client, method: str, path: str, body: bytes, status: int, said: str
) -> None:
    response = client.request(method, path, content=body)
    assert response.status_code == status
    assert said in response.json()["detail"]


def test_with_a_key_only_health_answers_without_it() -> None:
    with servers.simulator(api_key="geheim-é") as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"X-API-Key": "wrong"}):
            response = client.get("/scans", headers=headers)
            assert response.status_code == 401
            assert response.json()["detail"] == "X-API-Key is missing or wrong"
            assert client.post("/scan", json={}, headers=headers).status_code == 401
        assert client.get("/scans", headers=[(b"X-API-Key", "geheim-é".encode())]).status_code == 200


def test_two_servers_with_one_seed_serve_the_bytes_that_generate_gives() -> None:
    expected = list(generate(3, seed=7))
    for _ in range(2):
        with servers.simulator(seed=7, scans=3) as server:
            assert [httpx.get(f"{server.url}/scans/{number}").content for number in (1, 2, 3)] == expected


def test_scans_and_lessons_outlive_a_kill(tmp_path: Path) -> None:
    server = servers.simulator(seed=2, scans=4, folder=tmp_path)
    with server:
        before = httpx.get(f"{server.url}/scans").content
        server.kill()
        server.start()
        assert httpx.get(f"{server.url}/scans").content == before
        assert httpx.post(f"{server.url}/scan", json={}).json()["scan_id"] == 5


def _belief_in_oak(scan: dict[str, Any]) -> float:
    return float(scan["interpretation"]["confidence_scores"]["materials"]["oak"])


def test_a_correction_is_kept_as_an_adaptation_and_shifts_later_interpretations(tmp_path: Path) -> None:
    # A scan depends on the seed and its number alone, so what an untaught scanner would say of it is known.
    bench = Bench(seed=1, material="pine")

    def untaught(number: int) -> float:
        parts = bench.perform(number, ScanConfig("noise"), Patterns())
        return _belief_in_oak({"interpretation": json.loads(parts["interpretation"])})

    with (
        servers.simulator(seed=1, material="pine", folder=tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        assert _belief_in_oak(_scan(client, signal_type="noise")) == untaught(1)
        correction = {
            "scan_id": 1,
            "feedback_type": "material_correction",
            "feedback_data": {"correct_material": "oak"},
        }
        answers = [client.post("/feedback", json=correction).json() for _ in range(3)]
        assert [answer["adaptation_id"] for answer in answers] == [1, 2, 3]
        assert _belief_in_oak(_scan(client, signal_type="noise")) > untaught(2)
        raised = client.get("/scans/2").content
        server.stop()
        server.start()
        assert client.get("/scans/2").content == raised
        assert _belief_in_oak(_scan(client, signal_type="noise")) > untaught(3)
        database = sqlite3.connect(server.database)
        assert database.execute("SELECT COUNT(*) FROM user_feedback").fetchone() == (3,)
        assert database.execute("SELECT COUNT(*) FROM pattern_adaptations").fetchone() == (3,)
        database.close()


def test_the_guides_direct_queries_read_and_add_the_scans_that_the_api_serves() -> None:
    with servers.simulator(scans=3, real_clock=True) as server:
        database = sqlite3.connect(server.database)
        database.row_factory = sqlite3.Row
        row = database.execute(
            "SELECT id, timestamp, signals, response, features, interpretation, config FROM scan_results WHERE id = ?",
            (2,),
        ).fetchone()
        parts = ("signals", "response", "features", "interpretation", "config")
        assert httpx.get(f"{server.url}/scans/2").json() == {
            "scan_id": row["id"],
            "timestamp": row["timestamp"],
            **{name: json.loads(row[name]) for name in parts},
        }
        (recent,) = database.execute(
            "SELECT AVG(json_extract(interpretation, '$.confidence_scores.overall')) FROM scan_results "
            "WHERE timestamp > datetime('now', '-24 hours')"
        ).fetchone()
        assert 0 < recent <= 1

        external = {
            "signals": [{"type": "sine", "frequency": 440}],
            "response": {"audio_data": [0.1, 0.2, 0.3]},
            "features": {"time_domain": {"rms": 0.2}},
            "interpretation": {"confidence_scores": {"overall": 0.8}},
            "config": {"signal_type": "sine"},
        }
        added = database.execute(
            "INSERT INTO scan_results (timestamp, signals, response, features, interpretation, config) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            ("2026-05-06T19:00:00", *(json.dumps(external[name]) for name in parts)),
        ).lastrowid
        database.commit()
        database.close()
        newest = httpx.get(f"{server.url}/scans", params={"limit": 1}).json()["scans"]
        assert newest == [{"scan_id": added, "timestamp": "2026-05-06T19:00:00", **external}]
        assert httpx.post(f"{server.url}/scan", json={}).json()["scan_id"] == 5
        compared = httpx.post(f"{server.url}/compare", json=[4, 5]).json()
        assert compared["comparisons"] == [{"scan_ids": [4, 5], "similarity": None}]
        lesson = {"scan_id": 4, "feedback_type": "material_correction", "feedback_data": {"correct_material": "oak"}}
        assert httpx.post(f"{server.url}/feedback", json=lesson).json()["adaptation_id"] is None


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "scribe_learning.db").write_bytes(b"something else, long enough to be no header" * 50)
    with pytest.raises(ServerFailed, match=r"scribe_learning\.db: not usable as the simulator's database"):
        servers.simulator(folder=tmp_path).start()


def test_a_database_that_somebody_holds_locked_is_a_503_and_then_works_again(tmp_path: Path) -> None:
    with servers.simulator(folder=tmp_path) as server:
        holder = sqlite3.connect(server.database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        response = httpx.post(f"{server.url}/scan", json={}, timeout=30)
        assert response.status_code == 503
        assert "database is locked" in response.json()["detail"]
        holder.execute("ROLLBACK")
        holder.close()
        assert httpx.post(f"{server.url}/scan", json={}).json()["scan_id"] == 1
