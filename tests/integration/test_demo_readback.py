"""The demo's read-back against the real content of services, put there by other hands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import zstandard

from scribe_local import servers
from scribe_local.cloud.cloud import LocalCloud
from scribe_local.cloud.lambda_ import BUCKET as ACTED_ON
from scribe_local.cloud.lambda_ import Lambda
from scribe_local.cloud.s3 import BUCKET, S3
from scribe_local.cloud.storage import BUCKET as LAKE
from scribe_local.cloud.storage import Storage
from scribe_local.demo.readback import Tally, digests, id_of, read_back
from scribe_local.demo.world import World

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_second_versions_repeated_lines_altered_bytes_and_strangers_are_seen(
    tmp_path: Path, ministack: servers.LocalServer, fake_gcs: servers.LocalServer, s3: S3Client, gcs: Any
) -> None:
    bodies = {str(number): b'{"scan_id":%d,"n":1}' % number for number in range(1, 6)}
    scans = {scan_id: digests(body) for scan_id, body in bodies.items()}
    archive, lake, act = S3(ministack.url), Storage(fake_gcs.url), Lambda(ministack.url)
    for service in (archive, lake, act):
        service.prepare()
    # The guide's programs use a bucket of that name too.
    for one in s3.list_object_versions(Bucket=BUCKET).get("Versions", ()):
        s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
    for scan_id in ("1", "2", "2", "3"):
        s3.put_object(Bucket=BUCKET, Key=f"scans/{scan_id}.json", Body=bodies[scan_id])
    s3.put_object(Bucket=BUCKET, Key="scans/5.json", Body=bodies["5"].replace(b'"n":1', b'"n":2'))
    for name, numbers in (("one", "123"), ("two", "345")):
        lines = b"".join(bodies[number] + b"\n" for number in numbers)
        gcs.bucket(LAKE).blob(f"scans/{name}.jsonl.zst").upload_from_string(zstandard.compress(lines))
    for key, scan_id in (("a", "1"), ("b", "1"), ("c", "2")):
        s3.put_object(Bucket=ACTED_ON, Key=f"{key}.json", Body=b'{ "n": 1, "scan_id": %s }' % scan_id.encode())
    (tmp_path / "files/deep").mkdir(parents=True)
    for scan_id, body in {**bodies, "9": b'{"scan_id":9}'}.items():
        (tmp_path / f"files/deep/{scan_id}.json").write_bytes(body)

    cloud = LocalCloud((), {"archive": archive, "lake": lake, "act": act}, {}, {})
    tallies = read_back(scans, World(cast("servers.Simulator", None), cloud, None), tmp_path)
    assert archive.count() == 4
    assert id_of(archive.newest()) in bodies
    for service in (archive, lake, act):
        service.close()
    assert tallies == {
        "archive": Tally(frozenset("123"), lost=frozenset("45"), doubled=frozenset("2"), foreign=0),
        "lake": Tally(frozenset("12345"), lost=frozenset(), doubled=frozenset("3"), foreign=0),
        "act": Tally(frozenset("12"), frozenset("345"), frozenset("1"), 0, "a repeat is a second invocation"),
        "files": Tally(frozenset("12345"), lost=frozenset(), doubled=frozenset(), foreign=1),
    }
