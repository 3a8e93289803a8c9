"""What a good file gives."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.fake_connectors import (
    FakeFeed,
    FakeFolder,
    FakeScanner,
    FakeStore,
    FeedOptions,
    FolderOptions,
    StoreOptions,
)
from support.metadata_hosts import METADATA

from scribe_export.config import Config, check_room, journal_quota, load, schema, starter
from scribe_export.config.scalars import resolve
from scribe_export.endpoint.address import Address
from scribe_export.errors import ConfigError
from scribe_export.options import Secret, check_url


class Usage(NamedTuple):
    total: int
    used: int
    free: int


FULL = """
version: 1
pipeline: lab-scans
state_dir: ./state
buffer: journal
assume_timezone: Europe/Berlin
drain_timeout: 25s
journal: {quota: 10GiB, max_record: 64MiB, history: 7d}
connections:
  scribe: {provider: feed, url: "http://localhost:8000/", api_key: "${file:secrets/scribe}"}
  prod: {provider: fake, region: eu-west-1, auth: {assume_role: {arn: "arn:x", external_id: "${EXT_ID}"}}, timeout: 10s}
defaults:
  timeout: 20s
  max_in_flight: 2
  retry: {base_delay: 2s, max_attempts: 3}
sources:
  api: {type: fake_feed, connection: scribe, poll_interval: 5s}
scanner: {type: fake_scanner, connection: scribe, max_in_flight: 1, on_unknown: retry}
destinations:
  archive: {type: fake_store, connection: prod, bucket: scans, key: "s/{scan_id}.json", tags: {app: scribe}}
  second: {type: fake_store, connection: prod, bucket: "${BUCKET:-other}", key: "s/{scan_id}.json", region: us-east-1,
           retry: {max_attempts: 9}, max_in_flight: "${N}", columns: [a, b],
           when: 'confidence >= 0.8 && material == "oak"'}
  rest: {type: fake_folder, directory: ./unmatched, when: otherwise}
alerts:
  webhook: {url: "https://hooks.example/services/${EXT_ID}", headers: {Authorization: "Bearer ${EXT_ID}"}}
  backlog_age: 1h
"""


def written(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    path = folder / "export.yaml"
    path.write_text(text)
    return load(path, environ={} if environ is None else environ)


@pytest.fixture
def full(tmp_path: Path) -> Config:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "scribe").write_text("key-1\n")
    return written(tmp_path, FULL, {"EXT_ID": "x-9", "N": "6"})


def store(config: Config, name: str) -> StoreOptions:
    options = config.destinations[name].options
    assert isinstance(options, StoreOptions)
    return options


def test_the_whole_file_is_read(full: Config, tmp_path: Path) -> None:
    assert full.pipeline == "lab-scans"
    assert full.folder == tmp_path
    assert full.state_folder == tmp_path / "state" / "lab-scans"
    assert str(full.assume_timezone) == "Europe/Berlin"
    assert (full.drain_timeout, full.journal.quota, full.journal.history) == (25.0, 10 * 2**30, 7 * 86400.0)
    assert full.sources["api"].connector is FakeFeed
    assert full.scanner is not None
    assert full.scanner.connector is FakeScanner
    assert [built.connector for built in full.destinations.values()] == [FakeStore, FakeStore, FakeFolder]
    assert full.rules is not None
    assert full.rules.names == {"second", "rest"}


def test_inline_options_win_over_the_connection_and_that_over_the_defaults(full: Config) -> None:
    archive, second, rest = store(full, "archive"), store(full, "second"), full.destinations["rest"].options
    assert (archive.region, second.region) == ("eu-west-1", "us-east-1")
    assert (archive.timeout, second.timeout, rest.timeout) == (10.0, 10.0, 20.0)
    assert (archive.max_in_flight, second.max_in_flight) == (2, 6)
    assert full.scanner is not None
    assert (full.scanner.options.timeout, full.scanner.options.max_in_flight) == (20.0, 1)


def test_a_destination_changes_one_option_of_the_default_retry_and_keeps_the_others(full: Config) -> None:
    assert (store(full, "archive").retry.base_delay, store(full, "archive").retry.max_attempts) == (2.0, 3)
    assert (store(full, "second").retry.base_delay, store(full, "second").retry.max_attempts) == (2.0, 9)


def test_lists_and_paths_are_taken_as_yaml_writes_them(full: Config) -> None:
    assert store(full, "second").columns == ("a", "b")
    rest = full.destinations["rest"].options
    assert isinstance(rest, FolderOptions)
    assert rest.directory == Path("unmatched")


def test_references_are_replaced_and_secrets_hide_themselves(full: Config) -> None:
    feed = full.sources["api"].options
    assert isinstance(feed, FeedOptions)
    assert feed.api_key == Secret("key-1")
    assert "key-1" not in repr(full)
    role = store(full, "archive").auth.assume_role
    assert role is not None
    assert role.external_id == "x-9"
    assert store(full, "second").bucket == "other"


def test_an_alerts_webhook_is_secret_with_its_headers(full: Config) -> None:
    webhook = full.alerts.webhook
    assert webhook is not None
    assert webhook.url.reveal() == "https://hooks.example/services/x-9"
    assert webhook.headers == {"Authorization": Secret("Bearer x-9")}
    assert "x-9" not in f"{full.alerts!r} {full.alerts} {full.alerts.model_dump_json()}"
    assert (full.alerts.backlog_age, full.alerts.every) == (3600.0, 30.0)


def test_a_context_tells_a_connector_its_place(full: Config, tmp_path: Path) -> None:
    context = full.context("archive", once=True)
    assert (context.name, context.pipeline, context.folder, context.once) == ("archive", "lab-scans", tmp_path, True)
    assert context.assume_timezone is full.assume_timezone


def test_a_later_problem_is_shown_at_its_place(full: Config) -> None:
    assert str(full.problem("destinations.archive.bucket", "gone")).endswith(
        "export.yaml:20:49: destinations.archive.bucket: gone"
    )
    assert full.problem("destinations.rest.key", "x").line == full.places["destinations.rest"].line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("<${A}-${B}>", "<1-two>"),
        ("${GONE:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${GONE:-}", ""),
        ("${A:-x}", "1"),
        ("$${A}", "${A}"),
        ("$A {A}", "$A {A}"),
        ("${NESTED}", "${A}"),
        ("${file:one-newline}", "text\n"),
        ("${file:windows}", "text"),
    ],
)
def test_a_reference_becomes(text: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "one-newline").write_bytes(b"text\n\n")
    (tmp_path / "windows").write_bytes(b"text\r\n")
    environ = {"A": "1", "B": "two", "EMPTY": "", "NESTED": "${A}"}
    options = {"type": "fake_store", "bucket": text, "key": "k/{scan_id}"}
    config = written(tmp_path, json.dumps({"destinations": {"a": options}}), environ)
    assert store(config, "a").bucket == value


def test_the_process_environment_is_used_when_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIBE_TEST_BUCKET", "from-env")
    path = tmp_path / "export.yaml"
    path.write_text(
        'destinations: {a: {type: fake_store, bucket: "${SCRIBE_TEST_BUCKET}", key: "k/{scan_id}"}}',
        encoding="utf-8-sig",
    )
    assert store(load(path), "a").bucket == "from-env"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("0", 0),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        ("1.10", 1.1),
        ("True", True),
        ("~", None),
        ("9" * 31, 1e31),
        ("1e999", "1e999"),
    ],
)
def test_an_unquoted_value_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_sections_without_entries_are_like_none(tmp_path: Path) -> None:
    config = written(
        tmp_path, "sources:\nalerts:\nconnections:\ndefaults:\ndestinations: {a: {type: fake_folder, directory: x}}\n"
    )
    assert config.sources == {}
    assert config.rules is None


def test_a_config_without_rules_never_imports_cel(tmp_path: Path) -> None:
    code = (
        "import sys, support.fake_connectors\nfrom scribe_export.config import load\n"
        f"load({str(tmp_path / 'export.yaml')!r}, {{}})\nassert 'cel' not in sys.modules\n"
    )
    (tmp_path / "export.yaml").write_text("destinations: {a: {type: fake_folder, directory: x}}")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)


def test_a_quota_larger_than_the_disk_is_refused(full: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    ballast = 1000

    def free(amount: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(2**50, 2**49, amount))

    free(full.journal.quota + ballast)
    check_room(full, ballast=ballast)
    free(full.journal.quota + ballast - 1)
    with pytest.raises(
        ConfigError, match=r"export\.yaml:8:11: journal\.quota: the journal may grow by 10\.0 GiB .* free"
    ):
        check_room(full, ballast=ballast)
    full.state_folder.mkdir(parents=True)
    (full.state_folder / "journal").write_bytes(b"x" * 5000)
    free(full.journal.quota + ballast - 5000)
    check_room(full, ballast=ballast)


def test_the_starter_is_a_good_file_also_with_its_comments_taken_away(tmp_path: Path) -> None:
    for module in ("scribe_connectors.file", "scribe_connectors.scribe.api", "scribe_connectors.aws.s3"):
        pytest.importorskip(module)
    config = written(tmp_path, starter())
    assert (set(config.sources), set(config.destinations)) == (set(), {"archive"})
    options = re.sub(r"^  # (?=( +)?[a-z0-9_]+:)", "  ", starter(), flags=re.MULTILINE)
    whole = written(tmp_path, options)
    assert (set(whole.sources), set(whole.destinations)) == ({"scanner"}, {"archive", "batches", "s3"})


def test_the_schema_names_every_installed_connector_and_its_options() -> None:
    made = schema()
    text = json.dumps(made)
    assert made["additionalProperties"] is False
    assert made["required"] == ["destinations"]
    sinks = made["$defs"]["one of sinks"]
    assert {"fake_store", "fake_folder"} <= set(sinks["properties"]["type"]["enum"])
    rules = {branch["if"]["properties"]["type"]["const"]: branch["then"]["$ref"] for branch in sinks["allOf"]}
    definition = made["$defs"][rules["fake_store"].rpartition("/")[2]]
    assert {"bucket", "key", "when", "retry"} <= set(definition["properties"])
    assert {"required": ["connection"]} in definition["anyOf"]
    references = {part.partition('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(made["$defs"])


@pytest.mark.parametrize("host", METADATA)
def test_no_url_reaches_a_metadata_service(host: str) -> None:
    with pytest.raises(ValueError, match=r"metadata service|plain ASCII"):
        check_url(f"http://{host}/latest")


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "https://10.0.0.1", "http://[::1]:9000", "http://minio_1", "http://xn--bcher-kva"]
)
def test_any_other_host_is_fine(url: str) -> None:
    assert check_url(url + "/") == url


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="port must be a number"):
        check_url("http://localhost:80a")


def test_the_quota_is_known_of_a_file_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    path.write_text("journal: {quota: 20MiB, max_record: 1MiB}\ndestinations: {a: {type: nonsense}}\n")
    assert journal_quota(path) == 20 * 2**20
    path.write_text("journal:\n")
    assert journal_quota(path) == 10 * 2**30
    path.write_text('journal: {quota: "${QUOTA_THAT_NOBODY_SET}"}\n')
    assert journal_quota(path, environ={}) is None


def test_where_to_listen_is_read_and_nowhere_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    rest = 'destinations: {a: {type: file, directory: ./a, key: "a/{scan_id}.json"}}\n'
    path.write_text(rest)
    assert load(path).http is None
    path.write_text(f'http: "[::1]:9464"\n{rest}')
    assert load(path).http == Address("::1", 9464)
