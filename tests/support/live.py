"""The accounts that `make live` works on: named by environment variables, each with what it is good for."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

import boto3
import pytest
from google.auth.credentials import AnonymousCredentials

from scribe_export.testing.destination import Destination, Faults

NO_FAULTS = Faults(withheld="no fault can be brought about in a real account; `make test` does it on local servers")
RUN = f"scribe-live-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid4().hex[:6]}"
"""Begins the name of everything that this run makes."""
GUIDE = "see docs/guide/live.md"

_numbers = iter(range(1, 1_000_000))


def fresh() -> str:
    """A name of this run that nothing had before."""
    return f"{RUN}-{next(_numbers):04d}"


def given(*names: str) -> list[str]:
    """The values of these variables, which begin with ``SCRIBE_LIVE_`` each; skips, naming them, if one is unset."""
    missing = [f"SCRIBE_LIVE_{name}" for name in names if not os.environ.get(f"SCRIBE_LIVE_{name}")]
    if missing:
        # Real accounts cost money and are only used by whoever names them.
        pytest.skip(f"set {' and '.join(missing)} to run this on your account; {GUIDE}")
    return [os.environ[f"SCRIBE_LIVE_{name}"] for name in names]


def optional(name: str, default: str = "") -> str:
    """The value of a variable that need not be set."""
    return os.environ.get(f"SCRIBE_LIVE_{name}") or default


def aws_options() -> dict[str, Any]:
    """Where AWS is; who to be is left to the SDK's chain."""
    [region] = given("AWS_REGION")
    endpoint = optional("AWS_ENDPOINT")
    return {"region": region} | ({"endpoint_url": endpoint} if endpoint else {})


def aws_client(service: str) -> Any:
    """A genuine client."""
    options = aws_options()
    where = {"region_name": options["region"], "endpoint_url": options.get("endpoint_url")}
    return boto3.Session().client(service, **where)  # type: ignore[call-overload]  # the stubs list every service


def gcp_options(service: str) -> dict[str, Any]:
    """Where a service of Google's is; who to be is left to the default credentials."""
    [project] = given("GCP_PROJECT")
    endpoint = optional(f"{service}_ENDPOINT")
    return {"project": project} | ({"endpoint_url": endpoint} if endpoint else {})


def gcp_client(make: Callable[..., Any], service: str) -> Any:
    """A genuine client of a REST API; without credentials at an endpoint of your own."""
    options = gcp_options(service)
    endpoint = options.get("endpoint_url")
    own = {"credentials": AnonymousCredentials(), "client_options": {"api_endpoint": endpoint}} if endpoint else {}
    return make(project=options["project"], **own)


class Settled(Destination):
    """A destination whose effects show late: it is read until it has not changed for `quiet` seconds."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, bytes]]], quiet: float) -> None:
        self._read, self._quiet = read, quiet

    def held(self) -> list[tuple[str, bytes]]:
        found = list(self._read())
        since = time.monotonic()
        while time.monotonic() - since < self._quiet:
            time.sleep(0.1)
            now = list(self._read())
            if len(now) != len(found):
                found, since = now, time.monotonic()
        return found

    def effects(self) -> Mapping[str, int]:
        return Counter(scan_id for scan_id, _ in self.held())
