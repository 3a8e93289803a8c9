"""Genuine BigQuery clients for the local server."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from scribe_local import servers

PROJECT = "scribe-test"


def client(url: str, *, project: str = PROJECT) -> bigquery.Client:
    """For any server that speaks BigQuery's REST API."""
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
    )


def new_dataset(with_client: bigquery.Client) -> str:
    """A new dataset's id."""
    name = f"d{uuid.uuid4().hex[:12]}"
    with_client.create_dataset(name)
    return name


def settings(server: servers.BigQuery, **changes: Any) -> None:
    """Change what the server does to requests; nothing brings the defaults back."""
    with httpx.Client(base_url=server.url) as control:
        if changes:
            control.patch("/_scribe/settings", json=changes).raise_for_status()
        else:
            control.delete("/_scribe/settings").raise_for_status()
