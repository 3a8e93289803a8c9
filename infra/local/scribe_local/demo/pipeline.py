"""The export.yaml that the demo runs and leaves behind."""

from pathlib import Path

from scribe_local.demo.world import BUCKET, World
from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY

ARCHIVE_PREFIX = "scans/"
LAKE_PREFIX = "lake/"
FILES_FOLDER = "files"
BY_MATERIAL = "by-material/{material}/{scan_id}.json"
BY_DAY = "by-day/{timestamp:%Y-%m-%d}/{scan_id}.json"

_HEAD = """\
# Written and run by `scribe-export demo`. Its scanner and S3 are gone with it: `scribe-export local up` starts others and
# prints a config for them; `scribe-export init` writes one to start your own from.
version: 1
pipeline: demo
state_dir: ./state

connections:
  scanner: {{provider: scribe, url: "{scribe}"}}
"""
_S3_CONNECTION = """\
  {name}:
    provider: aws
    region: {region}
    endpoint_url: "{url}"
    auth: {{access_key_id: {key}, secret_access_key: {secret}}}
"""
_SOURCE = """
sources:
  scanner: {type: scribe_api, connection: scanner, poll_interval: 500ms}

destinations:
"""
_S3_DESTINATIONS = """\
  archive:                  # S3, one object a scan
    type: aws_s3
    connection: archive
    bucket: {bucket}
    key: "{archive}{{timestamp:%Y/%m/%d}}/scan-{{scan_id}}.json"
    batch: {{max_records: 25}}
    retry: {{base_delay: 200ms, max_delay: 2s}}
    breaker: {{failure_threshold: 3, timeout: 1s}}
  lake:                     # S3, one compressed object of JSON lines a batch
    type: aws_s3
    connection: lake
    bucket: {bucket}
    key: "{lake}dt={{timestamp:%Y-%m-%d}}/{{batch_id}}.{{ext}}"
    compression: zstd
    batch: {{max_records: 100, max_age: 2s}}
"""
_FILES = """\
  files:                    # a folder, one file a scan
    type: file
    directory: ./{folder}
    key: "{key}"
"""


def write(path: Path, world: World) -> None:
    """Write the config for what runs."""
    text = _HEAD.format(scribe=world.scanner.url)
    if world.cloud:
        for name, url in (("archive", world.cloud.gate.url), ("lake", world.cloud.server.url)):
            text += _S3_CONNECTION.format(name=name, region=REGION, url=url, key=ACCESS_KEY, secret=SECRET_KEY)
    text += _SOURCE
    if world.cloud:
        text += _S3_DESTINATIONS.format(bucket=BUCKET, archive=ARCHIVE_PREFIX, lake=LAKE_PREFIX)
    text += _FILES.format(folder=FILES_FOLDER, key=BY_MATERIAL)
    path.write_text(text, encoding="utf-8")


def file_by_day(path: Path) -> None:
    """The operator's mend: files are no longer named after the material."""
    text = path.read_text(encoding="utf-8")
    assert BY_MATERIAL in text
    path.write_text(text.replace(BY_MATERIAL, BY_DAY), encoding="utf-8")
