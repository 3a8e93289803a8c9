"""Whatever stands in the file, the answer is a configuration or a list of mistakes, each at its place.

No secret is in it, and nothing but the file itself and what it names is read.
"""

import os
import re
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from support import fake_connectors  # noqa: F401 - registers them
from support.fuzzing import LONG, QUICK, damaged, texts
from support.reach import reached

from scribe_export.config import load
from scribe_export.errors import ConfigError

CANARY = "CANARY-7f3a9c"
FAKE = b"""\
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
  d: {type: fake_store, bucket: "${file:secret}", key: "d/{scan_id}", secret: "${file:secret}"}
"""
DAMAGE = rb"""*x @&x @!!int @!@- @? @: @{@}@[@]@"@'@#@null@true@5@010@1e999@${TOKEN}@${@${file:/}@<<: @%YAML 1.1@"\uD800"@
type@connection@when@otherwise@destinations@.nan@0x@\ud800@${file:secret}@!!python/object/apply:os.system [id]@
${file:../secret}@${file:/etc/passwd}@&a [*a,*a]@http://169.254.169.254/@{scan_id}@%n@1:30@12h@~"""
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
ROOT = Path(__file__).parents[2]
REAL = [
    path.read_bytes()
    for folder in ("examples", "infra/aws", "infra/gcp")
    for path in sorted((ROOT / folder).rglob("export.yaml"))
]
PIECES = st.sampled_from([*DAMAGE.split(b"@"), *ODD]) | st.binary(max_size=6)
_FILES = re.compile(r"\$\{file:([^{}]*)\}")
_PLACE = re.compile(r".*/export\.yaml:\d+:\d+: .")

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | texts.map(lambda text: text.encode("utf-8", "replace").decode())
    | st.sampled_from(["${TOKEN}", "${file:secret}", "5s", "1MiB", "k/{scan_id}", "fake_store", "confidence > 0.5"])
)
NAMES = """pipeline journal sources destinations defaults connections scanner alerts a b type bucket key when secret retry
batch connection url quota oversize version"""
names = st.sampled_from(NAMES.split())
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=20
)
written = trees.map(lambda tree: yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))
anything = written | st.binary(max_size=80)
files = damaged(FAKE, PIECES) | anything
real_files = st.sampled_from([FAKE, *REAL]).flatmap(lambda raw: damaged(raw, PIECES)) | anything


class Anything(dict[str, str]):
    """An environment in which every variable holds the secret."""

    def __getitem__(self, name: str) -> str:
        return CANARY

    def get(self, name: str, default: object = None) -> str:
        return CANARY


@pytest.fixture(scope="module")
def _loaded() -> None:
    """The connectors' modules are read once, and that is not what is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        for raw in REAL:
            path = Path(folder) / "export.yaml"
            path.write_bytes(raw)
            try:
                load(path, Anything())
            except ConfigError:
                continue


def check(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "export.yaml"
        path.write_bytes(raw)
        (path.parent / "secret").write_text(CANARY)
        begun, told, problems = time.process_time(), "", []
        config = None
        with reached() as seen:
            try:
                config = load(path, Anything())
            except ConfigError as error:
                told, problems = str(error), error.problems
        assert time.process_time() - begun < 5.0
        named = _FILES.findall(raw.decode("utf-8", "replace")) + _FILES.findall(_escaped(raw))
        allowed = {os.path.realpath(path.parent / name) for name in named if "\0" not in name} | {str(path)}
    assert not [one for one in seen if one not in allowed]
    assert CANARY not in told.replace(str(path.parent), "")
    assert config or problems
    for problem in problems:
        assert _PLACE.match(str(problem)), problem
        assert problem.message.isprintable() or "\n" in problem.message, problem


def _escaped(raw: bytes) -> str:
    """What the file's own escapes may hide."""
    if b"\\" not in raw:
        return ""
    try:
        return "\n".join(str(token.value) for token in yaml.scan(raw) if isinstance(token, yaml.ScalarToken))
    except (yaml.YAMLError, ValueError, RecursionError):
        return ""


@pytest.mark.fault("F-35")
@QUICK
@given(files)
@example(b"[" * 100_000)
@example(b'destinations: {a: {type: fake_store, bucket: "\\uD800", key: "k/{scan_id}"}}')
def test_a_damaged_file_is_refused_or_read(raw: bytes) -> None:
    check(raw)


@pytest.mark.slow
@pytest.mark.fault("F-35")
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_loaded")
@LONG
@given(real_files)
def test_the_same_for_long(raw: bytes) -> None:
    check(raw)
