"""Whatever stands in the file, the answer is a configuration or a list of mistakes, and no secret is in it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import fake_connectors  # noqa: F401 - registers them

from scribe_export.config import load
from scribe_export.errors import ConfigError

CANARY = "CANARY-7f3a9c"
GOOD = b"""\
pipeline: lab
journal: {quota: 10GiB, max_record: 64MiB}
connections: {prod: {provider: fake, region: eu, auth: {assume_role: {arn: x}}}}
defaults: {timeout: 20s, retry: {max_attempts: 3}}
sources: {api: {type: fake_feed, url: "http://localhost", api_key: "${TOKEN}"}}
scanner: {type: fake_scanner, url: "http://localhost"}
destinations:
  a: {type: fake_store, connection: prod, bucket: b, key: "k/{scan_id}", when: 'confidence > 0.5', secret: "${TOKEN}"}
  b: {type: fake_folder, directory: x, when: otherwise, timeout: 5s}
  c:
    type: fake_store
    bucket: "${TOKEN}"
    key: "c/{batch_id}"
    port: 7
    tags: {a: b}
"""
DAMAGE = rb"""*x @&x @!!int @!@- @? @: @{@}@[@]@"@'@#@null@true@5@010@1e999@${TOKEN}@${@${file:/}@<<: @%YAML 1.1@"\uD800"@
type@connection@when@otherwise@destinations@.nan@0x@\ud800"""
ODD = (
    b"\n",
    b"\t",
    b"|\n",
    b"---\n",
    b"...\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    "\u2028\U0001f600".encode(),
    b"9" * 5000,
)
PIECES = st.sampled_from([*DAMAGE.split(b"@"), *ODD])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 30), PIECES), min_size=1, max_size=4))
@example([(0, len(GOOD), b"[" * 100_000)])
@example([(0, len(GOOD), b'destinations: {a: {type: fake_store, bucket: "\\uD800", key: "k/{scan_id}"}}')])
@pytest.mark.fault("F-35")
def test_a_damaged_file_is_refused_or_read(damage: list[tuple[int, int, bytes]]) -> None:
    raw = GOOD
    for start, length, piece in damage:
        raw = raw[:start] + piece + raw[start + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.yaml"
        path.write_bytes(raw)
        try:
            told = ""
            config = load(path, {"TOKEN": CANARY})
        except ConfigError as error:
            told = str(error) or "nothing"
    assert CANARY not in told
    assert told != "nothing"
    assert told or config.destinations
