"""`status --cost`: beside a running exporter and after it, with prices of one's own, as text and as JSON."""

import json
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.command_line import PROGRAM, command, scan, wait_until, write_config
from support.journals import destinations, opened

from scribe_export.cli.main import main
from scribe_export.journal.database import FILE_NAME
from scribe_export.journal.usage import count_usage

CONFIG = """\
sources: {old: {type: file, path: "scans.jsonl"}}
journal: {quota: 64MiB, max_record: 4KiB}
destinations:
  archive: {type: file, directory: ./archive, key: "scans/{scan_id}.json"}
"""
OURS = """\
as_of: 2026-10-01
region: our cellar
prices:
  requests: {price: 0.5, per: 2}
  stored_bytes: {price: 1, per: 1kB, monthly: true, checked: false}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands work: a config, and prices of one's own."""
    write_config(tmp_path, CONFIG)
    (tmp_path / "prices.yaml").write_text(OURS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status(*options: str) -> Result:
    return CliRunner().invoke(main, ["status", "export.yaml", *options])


def cost(*options: str) -> Any:
    ended = status("--cost", "--json", *options)
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout)["cost"]


def used(folder: Path, **amounts: float) -> None:
    """A journal that has counted these, of a destination."""
    state = folder / "state" / "default"
    state.mkdir(parents=True, mode=0o700, exist_ok=True)
    with opened(state) as db:
        destinations(db, "archive")
        with db.transaction():
            count_usage(db, "archive", amounts)


def test_usage_is_seen_beside_a_running_exporter_and_after_it(folder: Path) -> None:
    (folder / "scans.jsonl").write_text(f"{scan(1)}\n{scan(2)}\n")
    size = len(scan(1)) + len(scan(2))
    expected = {
        "scans": 2.0,
        "cost": None,
        "storage_per_month": None,
        "per_million_scans": None,
        "units": {
            "bytes_sent": {"amount": size, "cost": None},
            "requests": {"amount": 2.0, "cost": None},
            "stored_bytes": {"amount": size, "cost": None},
        },
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(PROGRAM), "run", "export.yaml"], cwd=folder, stderr=log)
        try:
            wait_until(lambda: '"ready"' in (folder / "log").read_text() or process.poll() is not None)
            wait_until(lambda: cost()["month"]["destinations"] == {"archive": expected})
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (folder / "log").read_text()
    found = cost()
    assert found["last_30_days"]["destinations"] == {"archive": expected}
    assert {table["name"] for table in found["tables"]} == {"aws.yaml", "gcp.yaml"}


def test_prices_of_ones_own_are_named_with_their_day_and_region(folder: Path) -> None:
    used(folder, requests=2, stored_bytes=140, scans=2)
    found = cost("--prices", "prices.yaml")["month"]
    assert (found["cost"], found["storage_per_month"]) == (0.5, pytest.approx(0.14))
    archive = found["destinations"]["archive"]
    assert (archive["cost"], archive["per_million_scans"]) == (0.5, 250_000.0)
    assert archive["units"]["stored_bytes"]["checked"] is False
    text = status("--cost", "--prices", "prices.yaml").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "archive together 2 scans $0.50 $250,000.00 a million scans" in lines
    assert "requests 2 $0.50" in lines
    assert "stored_bytes 140 B $0.14 * a month until deleted" in lines
    assert "together $0.50, and $0.14 a month for what was stored" in lines
    assert lines[-3:] == [
        "prices of 2026-10-01, our cellar (prices.yaml)",
        "* this price could not be looked up; give your own with --prices",
        "an estimate from list prices, without free tiers and discounts; your bill knows better",
    ]


@pytest.mark.parametrize(
    ("amount", "shown"), [(2_000_000, "$10.00"), (1, "under $0.0001"), (150, "$0.00075"), (20, "$0.0001")]
)
def test_sums_below_a_cent_are_shown_as_such(folder: Path, amount: float, shown: str) -> None:
    used(folder, **{"aws_s3.put_requests": amount})
    [line, *_] = [line for line in status("--cost").stdout.splitlines() if "put_requests" in line]
    assert line.endswith(shown)


def test_what_is_free_is_called_free(folder: Path) -> None:
    used(folder, **{"gcp_bigquery.loaded_bytes": 3 * 2**30})
    [line, *_] = [line for line in status("--cost").stdout.splitlines() if "loaded_bytes" in line]
    assert line.split()[-3:] == ["3.000", "GiB", "free"]


def test_before_anything_was_used_there_is_nothing_to_pay(folder: Path) -> None:
    used(folder)
    assert status("--cost").stdout.count("nothing was used") == 2


def test_a_destination_that_left_the_config_keeps_its_bill(folder: Path) -> None:
    used(folder, requests=2)
    write_config(folder, CONFIG.replace("archive: {", "other: {"))
    assert cost()["month"]["destinations"]["archive"]["units"]["requests"]["amount"] == 2


def test_a_journal_of_an_older_release_is_shown_once_this_one_has_opened_it(folder: Path) -> None:
    used(folder, requests=2)
    with closing(sqlite3.connect(folder / "state" / "default" / FILE_NAME)) as journal:
        journal.execute("PRAGMA user_version=4")
    ended = status("--cost")
    assert (ended.exit_code, "the next run or send of this one brings it to 5" in ended.output) == (4, True)


def test_mistakes_are_told_before_anything_is_shown(folder: Path) -> None:
    (folder / "bad.yaml").write_text("as_of: 2026-10-01\nregion: here\nprices: {requests: {prise: 1}}\n")
    ended = command(folder, "status", "export.yaml", "--cost", "--prices", "bad.yaml")
    assert (ended.code, ended.stdout) == (2, "")
    assert 'bad.yaml:3:21: prices.requests.prise: unknown option, did you mean "price"?' in ended.stderr
    ended = command(folder, "status", "export.yaml", "--prices", "prices.yaml")
    assert (ended.code, ended.stdout) == (2, "")
    assert "--prices goes with --cost" in ended.stderr
