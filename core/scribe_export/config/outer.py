"""What stands at the top of the file; sources, destinations and the scanner are checked by their connectors."""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, field_validator, model_validator

from scribe_export.alerts.options import AlertOptions
from scribe_export.endpoint.address import PATTERN, check_address
from scribe_export.options import BreakerOptions, Duration, Options, RetryOptions, Size
from scribe_export.suggest import did_you_mean

MAX_DESTINATIONS = 63
"""The bits of a signed 64-bit number: a scan's routes are stored as one."""

Buffer = Literal["journal", "none"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = did_you_mean(name, available_timezones())
        hint = near if near.startswith(",") else "; write one like UTC or Europe/Berlin"
        raise ValueError(f"unknown timezone{hint}") from None
    return name


Timezone = Annotated[str, AfterValidator(_timezone)]

HttpAddress = Annotated[
    str,
    AfterValidator(check_address),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["127.0.0.1:9464", "[::1]:9464"]}),
]
"""HOST:PORT."""


class JournalOptions(Options):
    quota: Size = Field(default=10 * 2**30, ge=16 * 2**20)
    """The most that the journal may take on disk; when it is reached, sources pause."""
    max_record: Size = Field(default=64 * 2**20, ge=1024)
    """The largest scan that is taken."""
    history: Duration = Field(default=7 * 86400.0, ge=0)
    """How long receipts are kept, and scans that left are known again by their ids."""

    @model_validator(mode="after")
    def _room_for_a_record(self) -> "JournalOptions":
        if self.max_record * 2 > self.quota:
            raise ValueError("max_record must be at most half of quota, or one scan would fill the journal")
        return self


class Defaults(Options):
    """Taken by every destination, and by the scanner where it knows the option, unless it says otherwise itself."""

    timeout: Duration | None = Field(default=None, gt=0)
    """Seconds before one call to the service is given up as unknown."""
    max_in_flight: int | None = Field(default=None, ge=1, le=256)
    """Batches being written at once."""
    retry: RetryOptions | None = None
    """How failures are repeated."""
    breaker: BreakerOptions | None = None
    """When the destination is given a rest."""


class StatePlace(Options):
    pipeline: str = Field(default="default", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """Names the state folder, so that two pipelines can share a `state_dir`."""
    state_dir: str = Field(default="./state", min_length=1)
    """Where the journal lives; a relative path starts at this file's folder."""

    def under(self, folder: Path) -> Path:
        """The state folder; `folder` is the config's own."""
        return folder / Path(self.state_dir).expanduser() / self.pipeline


class JournalPart(Options):
    journal: JournalOptions = JournalOptions()
    """As in `Outer`, for looking at a journal whose file is not right elsewhere."""


class Outer(StatePlace):
    version: Literal[1] = 1
    """Of this format."""
    buffer: Buffer = "journal"
    """Where scans wait for their destinations; with `none` they wait in their queue, unacknowledged."""
    dead_letter: str | None = None
    """With `buffer: none`, and in a serverless function: the destination for what the others can never take."""
    assume_timezone: Timezone = "UTC"
    """In which zone a timestamp without an offset is read."""
    drain_timeout: Duration = Field(default=25.0, ge=0)
    """How long batches in flight may take to settle when the exporter is asked to stop."""
    http: HttpAddress | None = None
    """Where `run` answers /livez, /readyz, /metrics and shows its status, such as 127.0.0.1:9464; nowhere if left out."""
    journal: JournalOptions = JournalOptions()
    """How much is kept, and for how long."""
    alerts: AlertOptions = AlertOptions()
    """What a person is told of, in the log and by a webhook."""
    connections: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Options written once and used by name."""
    defaults: Defaults = Defaults()
    """For all destinations."""
    sources: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Where scans come from."""
    scanner: dict[str, Any] | None = None
    """What performs the scans that are asked for."""
    destinations: dict[Name, dict[str, Any]]
    """Where scans go."""

    @field_validator("destinations")
    @classmethod
    def _some(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("name at least one destination")
        if len(value) > MAX_DESTINATIONS:
            raise ValueError(f"{len(value)} destinations, and one pipeline has {MAX_DESTINATIONS} at most")
        return value
