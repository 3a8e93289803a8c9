"""The least that a config has to say of each connector."""

from collections.abc import Mapping
from typing import Any

ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "file": {"directory": "./x", "key": "x/{scan_id}.json"},
    "file source": {"path": "./in/*.json"},
    "aws_s3": {"region": "eu-west-1", "bucket": "scans", "key": "x/{scan_id}.json"},
    "aws_s3 source": {"region": "eu-west-1", "bucket": "scans"},
    "aws_sqs": {"region": "eu-west-1", "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/scans"},
    "aws_dynamodb": {"region": "eu-west-1", "table": "scans"},
    "aws_lambda": {"region": "eu-west-1", "function": "on-scan"},
    "gcp_storage": {"bucket": "scans", "key": "x/{scan_id}.json"},
    "gcp_storage source": {"bucket": "scans"},
    "gcp_pubsub": {"project": "lab", "topic": "scans"},
    "gcp_pubsub source": {"project": "lab", "subscription": "scans"},
    "gcp_bigquery": {"project": "lab", "dataset": "scribe", "table": "scans"},
    "gcp_bigquery source": {"project": "lab", "dataset": "scribe", "table": "scans"},
    "rabbitmq": {"url": "amqp://localhost", "queue": "scans"},
    "redis": {"url": "redis://localhost:6379/0", "list": "scans"},
    "scribe_api": {"url": "http://localhost:8000"},
    "scribe_websocket": {"url": "http://localhost:8000"},
    "scribe_database": {"path": "./scribe_learning.db"},
}
"""By type, then by type and kind: the least that a config has to say."""
