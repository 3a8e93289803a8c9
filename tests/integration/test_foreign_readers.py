"""Archives read by programs that know nothing of this one: DuckDB, and the AWS CLI."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.missing import missing
from support.pipeline import Pipeline
from support.records import body
from support.s3 import new_bucket, s3_client

from scribe_local.process import ServerMissing
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY, LocalServer, find_cloud_program

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COUNT = 600
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"key": "plain/{batch_id}.{ext}"},
    "gz": {"key": "gz/{batch_id}.{ext}", "compression": "gzip"},
    "zst": {"key": "zst/{batch_id}.{ext}", "compression": "zstd"},
    "parquet": {"key": "parquet/{material}/{batch_id}.{ext}", "format": "parquet"},
    "each": {"key": "each/{timestamp:%Y/%m}/{scan_id}.json"},
}


def scan(number: int) -> bytes:
    wood = ("oak", "ash", "yew")[number % 3]
    return body(
        number,
        timestamp=f"2026-03-{number % 28 + 1:02d}T12:00:00+01:00",
        interpretation={
            "confidence_scores": {"overall": number / 1000},
            "pattern_matches": {"materials": [{"material": wood}]},
        },
        note="Ångström, 木, a \"quote\" and a 'tick'",
    )


def delivered(folder: Path, destinations: dict[str, dict[str, Any]]) -> None:
    with Pipeline(folder, destinations, sources={"scans": {"type": "file", "path": "scans.jsonl"}}) as pipeline:
        (folder / "scans.jsonl").write_bytes(b"".join(scan(n) + b"\n" for n in range(1, COUNT + 1)))
        finished = pipeline.until_idle("--max-wait", "90s")
        assert finished.returncode == 0, finished.stderr[-2000:]


def ask(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as database:
        return database.execute(query).fetchall()


def check_archive(folder: Path) -> None:
    """What SQL says of the archive is what was sent."""
    numbers = range(1, COUNT + 1)
    expected = [(COUNT, COUNT, sum(numbers), pytest.approx(sum(numbers) / 1000), 2.0 * COUNT)]
    for name in ("plain/*.jsonl", "gz/*.jsonl.gz", "zst/*.jsonl.zst", "each/**/*.json"):
        layout = "unstructured" if name.endswith(".json") else "newline_delimited"
        found = ask(
            "SELECT count(*), count(DISTINCT scan_id), sum(scan_id), sum(interpretation.confidence_scores.overall), "
            f"sum(config.duration) FROM read_json('{folder}/{name}', format='{layout}')"
        )
        assert found == expected, name
    rows = f"read_parquet('{folder}/parquet/*/*.parquet')"
    columns = (
        "SELECT count(*), count(DISTINCT scan_id), sum(scan_id::INT), sum(confidence), "
        f"sum((document->>'$.config.duration')::DOUBLE) FROM {rows}"
    )
    assert ask(columns) == expected
    woods = sorted((wood, len([n for n in numbers if n % 3 == i])) for i, wood in enumerate(("oak", "ash", "yew")))
    assert ask(f"SELECT material, count(*) FROM {rows} GROUP BY ALL ORDER BY ALL") == woods
    [(earliest,)] = ask(f"SELECT strftime(min(timestamp) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M') FROM {rows}")
    assert earliest == "2026-03-01T11:00"
    documents = dict(ask(f"SELECT scan_id, document FROM {rows}"))
    assert documents == {str(n): scan(n).decode() for n in numbers}


@pytest.mark.timeout(240)
def test_duckdb_reads_every_layout_of_a_folder(tmp_path: Path) -> None:
    destinations = {
        name: {"type": "file", "directory": "kept", **form, "batch": {"max_records": 200}}
        for name, form in FORMS.items()
    }
    delivered(tmp_path / "it", destinations)
    check_archive(tmp_path / "it" / "kept")


@pytest.fixture
def command_line(aws: LocalServer, tmp_path: Path, pytestconfig: pytest.Config) -> list[str]:
    os.environ.setdefault("SCRIBE_EXPORT_CLOUD_ENV", str(pytestconfig.rootpath / ".venv-cloud"))
    try:
        program = find_cloud_program("aws", "awscli")
    except ServerMissing as error:
        missing(error)
    return [program, "--endpoint-url", aws.url, "--region", REGION, "s3"]


@pytest.fixture
def store(aws: LocalServer) -> Iterator[S3Client]:
    client = s3_client(aws.url)
    yield client
    client.close()


@pytest.mark.timeout(240)
def test_the_aws_cli_lists_and_fetches_what_duckdb_then_reads(
    tmp_path: Path, aws: LocalServer, store: S3Client, command_line: list[str]
) -> None:
    bucket = new_bucket(store)
    common = {
        "type": "aws_s3",
        "bucket": bucket,
        "endpoint_url": aws.url,
        "region": REGION,
        "auth": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
        "batch": {"max_records": 200},
    }
    delivered(tmp_path / "it", {name: {**common, **form} for name, form in FORMS.items()})

    def cli(*arguments: str) -> str:
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        quiet = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PAGER": ""}
        ran = subprocess.run(
            [*command_line, *arguments], env={**os.environ, **keys, **quiet}, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    listed = [line.split() for line in cli("ls", "--recursive", f"s3://{bucket}/").splitlines()]
    sizes = {key: int(size) for _, _, size, key in listed}
    assert len([key for key in sizes if key.startswith("each/2026/03/")]) == COUNT
    assert {key.rpartition(".")[2] for key in sizes} == {"json", "jsonl", "gz", "zst", "parquet"}
    cli("cp", "--recursive", "--quiet", f"s3://{bucket}/", str(tmp_path / "fetched"))
    fetched = {
        str(path.relative_to(tmp_path / "fetched")): path.stat().st_size
        for path in (tmp_path / "fetched").rglob("*")
        if path.is_file()
    }
    assert fetched == sizes
    check_archive(tmp_path / "fetched")
    assert json.loads((tmp_path / "fetched/each/2026/03/7.json").read_bytes())["scan_id"] == 7
