"""The demo's read-back against real S3 objects and files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import cast

import pytest
import zstandard
from support.missing import missing

from scribe_local import servers
from scribe_local.demo.readback import Tally, archived, newest_in_archive, read_back
from scribe_local.demo.world import BUCKET, Cloud, World, versioned_bucket
from scribe_local.process import ServerMissing
from scribe_local.proxy import Proxy


def test_second_versions_repeated_lines_altered_bytes_and_strangers_are_seen(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    if servers.CLOUD_ENVIRONMENT not in os.environ:
        monkeypatch.setenv(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud"))
    bodies = {str(number): b'{"scan_id":%d,"n":1}' % number for number in range(1, 6)}
    scans = {scan_id: hashlib.sha256(body).hexdigest() for scan_id, body in bodies.items()}
    try:
        server = servers.ministack()
    except ServerMissing as error:
        missing(error)
    with server:
        s3 = versioned_bucket(server.url)
        for scan_id in ("1", "2", "2", "3"):
            s3.put_object(Bucket=BUCKET, Key=f"scans/{scan_id}.json", Body=bodies[scan_id])
        s3.put_object(Bucket=BUCKET, Key="scans/5.json", Body=bodies["5"].replace(b'"n":1', b'"n":2'))
        for name, numbers in (("one", "123"), ("two", "345")):
            lines = b"".join(bodies[number] + b"\n" for number in numbers)
            s3.put_object(Bucket=BUCKET, Key=f"lake/{name}.jsonl.zst", Body=zstandard.compress(lines))
        (tmp_path / "files/deep").mkdir(parents=True)
        for scan_id, body in {**bodies, "9": b'{"scan_id":9}'}.items():
            (tmp_path / f"files/deep/{scan_id}.json").write_bytes(body)
        cloud = Cloud(server, cast("Proxy", None), s3)
        tallies = read_back(scans, World(cast("servers.Simulator", None), cloud, ""), tmp_path)
        assert archived(cloud) == 4
        assert newest_in_archive(cloud) in bodies
        s3.close()

    assert tallies == {
        "archive": Tally(frozenset("123"), lost=frozenset("45"), doubled=frozenset("2"), foreign=0),
        "lake": Tally(frozenset("12345"), lost=frozenset(), doubled=frozenset("3"), foreign=0),
        "files": Tally(frozenset("12345"), lost=frozenset(), doubled=frozenset(), foreign=1),
    }
