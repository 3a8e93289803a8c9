"""What a user may write for the SCRIBE API."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import anyio
from pydantic import AfterValidator, Field

from scribe_connectors.scribe._transport import MAX_RESPONSE, check_api_key, check_base_url
from scribe_connectors.scribe.client import AsyncScribeClient, speaks_against
from scribe_export.errors import Misconfigured, Rejected
from scribe_export.interface import Context
from scribe_export.options import Duration, Options, ScannerOptions, SecretText, Size, SourceOptions
from scribe_export.patterns import CircuitBreaker, RetryPolicy


class TlsOptions(Options):
    ca_file: Path | None = Field(default=None, strict=False)
    """PEM file with the authorities to trust instead of the public ones; relative to the config's folder."""


class ScribeConnection(Options):
    """Where the API is, and as whom it is called."""

    provider: ClassVar[str | None] = "scribe"

    url: Annotated[str, AfterValidator(check_base_url)]
    """The root of the API, like http://localhost:8000."""
    api_key: Annotated[SecretText, AfterValidator(check_api_key)] | None = None
    """Sent as X-API-Key."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call to the API is given up as unknown; a scan has to be complete within them."""
    tls: TlsOptions = TlsOptions()
    """Whom to trust."""
    trust_env: bool = False
    """Whether proxies are taken from the environment (HTTP_PROXY, NO_PROXY)."""
    max_response: Size = Field(default=MAX_RESPONSE, ge=1)
    """The largest answer taken."""


class ScribeScannerOptions(ScribeConnection, ScannerOptions):
    """A scanner behind the SCRIBE API."""


class ScribeSourceOptions(ScribeConnection, SourceOptions):
    """Completed scans, found by polling the SCRIBE API."""

    poll_interval: Duration = Field(default=5.0, gt=0)
    """Seconds between two looks."""
    start: Literal["all", "latest"] = "all"
    """What the first start takes: all that is there (up to `max_limit`), or only what comes later."""
    first_limit: int = Field(default=10, ge=2, le=10_000)
    """How many of the newest scans a look asks for first. Scans that appear late, below at least half as many newer ones,
    are found; raise it if they appear further down."""
    max_limit: int = Field(default=10_000, ge=2, le=1_000_000)
    """How many a look asks for at most, after doubling; if none of them was seen before, scans may have been missed and
    the alarm `gap` is raised."""
    max_records: int = Field(default=100, ge=1, le=10_000)
    """Scans handed over at once."""
    max_in_flight: int = Field(default=8, ge=1, le=64)
    """Scans fetched at once."""


async def connected(options: ScribeConnection, context: Context) -> AsyncScribeClient:
    """A client of a healthy API, which tries everything once: the framework repeats.

    Raises `Misconfigured` or `Transient`.
    """
    ca_file = options.tls.ca_file
    try:
        client = AsyncScribeClient(
            options.url,
            options.api_key,
            timeout=options.timeout,
            max_response=options.max_response,
            ca_file=context.folder / ca_file if ca_file else None,
            trust_env=options.trust_env,
            retry=RetryPolicy(max_attempts=1, clock=context.clock),
            breaker=CircuitBreaker(timeout=30.0, counts=speaks_against, clock=context.clock),
        )
    except ValueError as error:
        raise Misconfigured(f"{options.url}: {error}") from None
    try:
        await client.check_health()
    except Rejected as error:
        await client.close()
        raise Misconfigured(str(error)) from None
    except BaseException:
        with anyio.CancelScope(shield=True):
            await client.close()
        raise
    return client
