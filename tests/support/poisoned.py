"""A pipeline through which the corpus went: what has to be in its journal and in its log afterwards."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from click.testing import CliRunner
from support.corpus import EXPECTED, MAX_RECORD, NO_SCANS, Mixed, body, refused, scan_id
from support.pipeline import Pipeline, Run
from support.usage import Usage

from scribe_export.cli.main import main

JOURNAL: Mapping[str, str] = {"quota": "1GiB", "max_record": f"{MAX_RECORD}B"}
"""The config's, through which the corpus goes."""
MOST_MEMORY = 512
"""MiB."""
Letters = dict[tuple[str, str], tuple[str, str]]
"""Scan id and destination to class and reason."""


def write_objects(folder: Path, mixed: Mixed) -> None:
    """Good scans as lines of one file, each row as a file of its own, named in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in objects(mixed).items():
        (folder / name).write_bytes(content)


def objects(mixed: Mixed) -> dict[str, bytes]:
    """As `write_objects`, by name."""
    found: dict[str, bytes] = {}
    for number, (good, name) in enumerate(mixed.groups()):
        found[f"{number:03d}-a-good.jsonl"] = b"".join(one + b"\n" for one in good)
        if name:
            found[f"{number:03d}-b-{name}.json"] = mixed.body(name)
    return found


def letters(config: Path) -> Letters:
    """What `dlq list` says."""
    listed = json.loads(_said("dlq", "list", str(config), "--json"))["dead_letters"]
    return {(one["scan_id"], one["destination"]): (one["kind"], one["error"]) for one in listed}


def check_letters(pipeline: Pipeline, mixed: Mixed, traits: Mapping[str, Sequence[str]]) -> None:
    """The dead letters are those of the table, with their reasons and, byte for byte, with what came.

    `traits` are by the destination's name those of `TRAITS` that it has.
    """
    found = letters(pipeline.path)
    wanted: dict[tuple[str, str], str] = {}
    for name in mixed.rows:
        expected = EXPECTED[name]
        if expected.journalled in NO_SCANS:
            wanted[_key_of(found, name), ""] = expected.journalled
        elif expected.journalled == "conflict":
            wanted |= {(scan_id(name), destination): "conflict" for destination in traits}
        elif expected.journalled == "scan":
            kinds = {destination: refused(name, of) for destination, of in traits.items()}
            wanted |= {(scan_id(name), destination): kind for destination, kind in kinds.items() if kind}
    there = {(*key, kind): why for key, (kind, why) in found.items()}
    expected_there = {(*key, kind) for key, kind in wanted.items()}
    surplus = {key: why for key, why in there.items() if key not in expected_there}
    assert not surplus, f"dead beside those that should be: {surplus}"
    assert not expected_there - there.keys(), "not dead, and should be"
    for name in mixed.rows:
        if EXPECTED[name].journalled in NO_SCANS:
            key = _key_of(found, name)
            assert re.search(re.escape(EXPECTED[name].why), found[key, ""][1]), (name, found[key, ""])
            assert _raw(pipeline.path, key) == body(name), name


def check_held(found: Iterable[bytes], wanted: Iterable[bytes]) -> None:
    """A destination has these bodies, each once, and no other."""
    there, given = Counter(found), Counter(wanted)
    assert not (lost := [one[:200] for one in given - there]), f"{len(lost)} are missing: {lost[:5]}"
    assert not (more := [one[:200] for one in there - given]), f"{len(more)} are too many: {more[:5]}"


def check_frugal(run: Run, usage: Usage, mixed: Mixed, *, seconds: float = 1.0) -> None:
    """Memory and time stayed bounded, and nothing failed that says it is a bug."""
    assert usage.peak < MOST_MEMORY, f"{usage.peak:.0f} MiB"
    assert usage.seconds < seconds * len(mixed.rows), f"{usage.seconds:.1f} s for {len(mixed.rows)} rows"
    for entry in run.events():
        assert "exception" not in entry, entry
        assert entry["event"] not in {"text", "source failed", "source held", "source stopped"}, entry


def _key_of(found: Letters, name: str) -> str:
    key = f"sha256:{hashlib.sha256(body(name)).hexdigest()}"
    assert (key, "") in found, f"{name} is no dead letter"
    return key


def _said(*arguments: str) -> str:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return ended.stdout


def _raw(config: Path, key: str) -> bytes:
    ended = CliRunner().invoke(main, ["dlq", "show", "--raw", str(config), key])
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return ended.stdout_bytes
