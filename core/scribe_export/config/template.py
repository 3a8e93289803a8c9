"""The file that `init` writes."""

_STARTER = """\
# yaml-language-server: $schema=./export.schema.json
# Every completed scan of a SCRIBE scanner, delivered to each destination below, and none lost.
#   scribe-export check export.yaml      finds mistakes, and with --connect tries every service
#   scribe-export run export.yaml        delivers until it is stopped; start it again at any time
#   scribe-export schema > export.schema.json   gives your editor completion

pipeline: scans            # names the folder of the journal below state_dir
state_dir: ./state         # keep it: what is not delivered yet is in there

# Where scans come from. Without a source, bring them with: scribe-export send export.yaml FILE...
sources:
  # scanner:
  #   type: scribe_api
  #   url: "http://localhost:8000"
  #   # api_key: "${SCRIBE_API_KEY}"     # from the environment; or "${file:/run/secrets/scribe}"
  #   poll_interval: 5s

destinations:
  archive:
    type: file
    directory: ./archive
    key: "scans/{timestamp:%Y/%m/%d}/scan-{scan_id}.json"      # {scan_id}: one file a scan

  # One line a scan, in compressed files of up to 500 scans.
  # batches:
  #   type: file
  #   directory: ./archive
  #   key: "batches/{timestamp:%Y-%m-%d}/{batch_id}.{ext}"     # {batch_id}: one file a batch
  #   format: jsonl
  #   compression: zstd
  #   batch: {max_records: 500, max_age: 30s}

  # Amazon S3; needs pip install 'scribe-export[aws]'. Credentials come from where the AWS CLI finds them.
  # s3:
  #   type: aws_s3
  #   region: eu-west-1
  #   bucket: my-scans
  #   key: "scans/{timestamp:%Y/%m/%d}/scan-{scan_id}.json"
  #   when: 'confidence >= 0.8 && material == "oak"'           # leave it out to send every scan
"""


def starter() -> str:
    """A short working configuration with comments, S3 among them."""
    return _STARTER
