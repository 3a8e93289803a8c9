"""The corpus from the scanner itself: its API, its WebSocket and its database."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from support.corpus import EXPECTED, MAX_RECORD, NO_SCANS, Mixed, body, names
from support.oracle import held_in
from support.pipeline import Pipeline, until
from support.poisoned import JOURNAL, check_frugal, check_held, check_letters, letters
from support.scribe_tables import PARTS, new_database
from support.scripted_events import ScriptedEvents
from support.scripted_scribe import Answer, ScriptedScribe
from support.usage import ended

pytestmark = [pytest.mark.fault("F-33"), pytest.mark.slow, pytest.mark.timeout(400)]
OUT = {"type": "file", "directory": "./out", "key": "all/{batch_id}.{ext}", "batch": {"max_age": "200ms"}}
NOT_LISTED = {"14-again-respelled", "15-other", "07-two-ids-escaped", "11-empty-id"}
"""An API has one document under an id, and none without: `test_scribe_source` has a list with such a one."""


class _Own(msgspec.Struct):
    scan_id: int | str


def own_id(name: str) -> int | str:
    """The id that a document is listed under: its own, if it has one that a URL can hold."""
    try:
        return msgspec.json.decode(body(name), type=_Own).scan_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return name


def is_object(raw: bytes) -> bool:
    """Whether an answer is a JSON object. What is none may be a proxy's, so it is not taken for a scan's document: it is
    asked for again, later and later, and the scan stays at the scanner."""
    try:
        return isinstance(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


@contextmanager
def scanner(mixed: Mixed) -> Iterator[ScriptedScribe]:
    """An API that lists ids, and serves each document as it is."""
    served: dict[str, bytes] = {}
    with ScriptedScribe() as api:
        for good, name in mixed.groups():
            for one in good:
                _list(api, served, json.loads(one)["scan_id"], one)
            if name:
                _list(api, served, own_id(name), mixed.body(name))

        def script(_: str, target: str) -> Answer | None:
            path = target.partition("/scans/")[2]
            return Answer(body=served[unquote(path)]) if path and unquote(path) in served else None

        api.script = script
        yield api


def _list(api: ScriptedScribe, served: dict[str, bytes], listed: int | str, document: bytes) -> None:
    served[str(listed)] = document
    api.scans[listed] = json.dumps({"scan_id": listed, "timestamp": "2026-05-06T12:00:00Z"}).encode()


@pytest.mark.parametrize("kind", ["scribe_api", "scribe_websocket"])
def test_what_the_scanner_serves_comes_through_as_the_table_says(tmp_path: Path, kind: str) -> None:
    rows = [name for name in names() if name not in NOT_LISTED]
    waiting = {name for name in rows if not is_object(body(name))}
    mixed = Mixed(rows)
    brought = Mixed([name for name in rows if name not in waiting])
    with scanner(mixed) as api, ScriptedEvents() as events:
        source = {"type": kind, "url": api.url, "poll_interval": "1s", "max_limit": 5000}
        source |= {"ws_url": events.url} if kind == "scribe_websocket" else {}
        with Pipeline(tmp_path, {"out": OUT}, sources={"in": source}, journal=JOURNAL) as pipeline:
            run = pipeline.start()
            dead = [name for name in brought.rows if EXPECTED[name].journalled in NO_SCANS]
            wanted = len(mixed.delivered())
            until(
                lambda: len(held_in(tmp_path / "out")) >= wanted and len(letters(pipeline.path)) >= len(dead),
                within=120,
                what="every scan at its place",
                seen=lambda: f"{len(held_in(tmp_path / 'out'))} of {wanted}, {letters(pipeline.path).keys()}",
            )
            run.terminate()
            usage = ended(run, 60)
            assert usage.exit_code == 0
            late = {entry["scan_id"] for entry in run.said("scan postponed")}
            check_letters(pipeline, Mixed(brought.rows), {"out": ()})
    check_held(held_in(tmp_path / "out"), mixed.delivered().values())
    assert late == waiting
    check_frugal(run, usage, mixed)


def test_what_a_column_of_the_database_holds_is_json_or_a_dead_letter(tmp_path: Path) -> None:
    """A row's id is a number and its document is made of its columns: what is JSON there is part of a scan."""
    carried = []
    semantic = {
        "11-",
        "03-5000-digits-id",
        "07-two",
        "20-array",
        "20-number",
        "20-text",
        "20-null",
        "23-true",
        "05-nul-in-id",
        "08-more",
    }
    path = new_database(tmp_path / "scribe_learning.db")
    wanted, dead = {}, []
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, name in enumerate(names(), 1):
            part = body(name)
            columns = dict.fromkeys(PARTS, "{}") | {"features": part if _odd(part) else part.decode()}
            into = f"INSERT INTO scan_results (id, timestamp, {', '.join(columns)}) VALUES (?, ?, {', '.join('?' * 5)})"
            try:
                connection.execute(into, (number, "2026-05-06T12:00:00Z", *columns.values()))
            except sqlite3.IntegrityError:
                continue  # SCRIBE's own tables refuse what SQLite takes for no JSON
            carried.append(name)
            if EXPECTED[name].journalled in NO_SCANS and not any(name.startswith(one) for one in semantic):
                dead.append(name)
            elif len(part) <= MAX_RECORD:
                wanted[number] = part
    sources = {"in": {"type": "scribe_database", "path": str(path)}}
    with Pipeline(tmp_path, {"out": OUT}, sources=sources, journal=JOURNAL) as pipeline:
        run = pipeline.start("--until-idle", "--max-wait", "100s")
        usage = ended(run, 120)
        found = letters(pipeline.path)
    held = {msgspec.json.decode(one, type=_Own).scan_id: one for one in held_in(tmp_path / "out")}
    assert held.keys() == wanted.keys()
    for number, part in wanted.items():
        assert b'"features":' + part + b"," in held[number]
    assert {"04-half-a-pair", "06-513-levels", "03-5000-digits", "07-two-ids"} <= set(carried)
    kinds = sorted(kind for kind, _ in found.values())
    assert kinds == sorted(["invalid"] * len(dead) + ["too_large"])
    check_frugal(run, usage, Mixed(names()))


def _odd(part: bytes) -> bool:
    try:
        return "\0" in part.decode()
    except UnicodeDecodeError:
        return True
