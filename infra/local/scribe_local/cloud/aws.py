"""Clients of the local AWS."""

from typing import Any

import boto3
from botocore.config import Config

from scribe_local.servers import ACCESS_KEY, REGION, SECRET_KEY


def client(url: str, service: str) -> Any:
    """A boto3 client of one service."""
    make: Any = boto3.client  # whose type knows only names written out
    return make(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(connect_timeout=10, read_timeout=60, s3={"addressing_style": "path"}),
    )


def connection(url: str) -> dict[str, Any]:
    """What stands under `connections`."""
    return {
        "provider": "aws",
        "region": REGION,
        "endpoint_url": url,
        "auth": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY},
    }
