"""What a user may write under a source, a destination or the scanner, and the types of those values."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import inet_aton
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from scribe_export.redaction import remember

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def parse_duration(value: Any) -> float:
    """Seconds from text such as ``30s``, ``5m``, ``250ms``, ``7d`` or ``1h30m``; raises ValueError."""
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f"not a duration: {value!r}; write a number with its unit, like 250ms, 30s, 5m, 1h or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(value: Any) -> int:
    """Bytes from text such as ``8MiB`` or ``500kB``; raises ValueError."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"not a size: {value!r}; write a number with its unit, like 500kB, 8MiB or 10GiB")
    return int(float(match[1]) * _BYTES[match[2]])


def _parsed(parse: Any) -> Any:
    # Defaults and values passed from Python are numbers already; from YAML only text with a unit is taken.
    return lambda value, info: (
        value if isinstance(value, int | float) and not (info.context or {}).get("yaml") else parse(value)
    )


Duration = Annotated[
    float,
    BeforeValidator(_parsed(parse_duration)),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "examples": ["30s", "5m"]}),
]
"""Seconds; in YAML a number with its unit."""

Size = Annotated[
    int,
    BeforeValidator(_parsed(parse_size)),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*([KMGT]i?B|kB|B)$", "examples": ["8MiB"]}),
]
"""Bytes; in YAML a number with its unit."""


_METADATA_HOSTS = {"metadata.google.internal", "metadata.goog", "metadata", "instance-data"}
_METADATA_NETWORKS = [ip_network(net) for net in ("169.254.0.0/16", "fd00:ec2::/32", "100.100.100.200/32")]
# IPv6 addresses that end in one of IPv4: compatible, translated (RFC 7915) and behind NAT64 (RFC 6052).
_WITH_IPV4 = [ip_network(net) for net in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """The address that a host is, and the one of IPv4 within it; none for a name. Raises ValueError."""
    try:
        address = ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            # Other writings of a name and of its dots become the same name to whoever connects.
            raise ValueError("the host must be plain ASCII; write an international name in its xn-- form") from None
        try:
            # 2852039166 and 0xA9FEA9FE are 169.254.169.254 to whoever connects.
            return [IPv4Address(inet_aton(host))]
        except OSError:
            return []
    if isinstance(address, IPv4Address):
        return [address]
    inner = address.ipv4_mapped or address.sixtofour
    if any(address in network for network in _WITH_IPV4):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return [address, inner] if inner else [address]


def check_url(value: str, schemes: tuple[str, str] = ("http", "https")) -> str:
    """A URL, http or https if not told otherwise, to any host but the clouds' metadata services; raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname:
        article = "an" if schemes[0][0] in "aeh" else "a"
        raise ValueError(f"must be {article} {schemes[0]}:// or {schemes[1]}:// URL with a host")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port must be a number from 0 to 65535") from None
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password; use the options made for them")
    host = parts.hostname.rstrip(".").lower()
    if host in _METADATA_HOSTS or any(
        address in network for address in _addresses(host) for network in _METADATA_NETWORKS
    ):
        raise ValueError("names a metadata service, which holds credentials; no connector may call it")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(check_url)]
"""An http or https URL without a trailing slash."""


class Secret:
    """Text that shows itself to nobody; `reveal` hands it to the client that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        remember(text)

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not serialised")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) else value


SecretText = Annotated[
    Secret,
    BeforeValidator(_secret),
    PlainSerializer(lambda _: "***"),
    WithJsonSchema({"type": "string", "writeOnly": True}),
]
"""A secret; give it in YAML as ``${NAME}`` or ``${file:/run/secrets/x}``."""


class Options(BaseModel):
    """What the user writes: frozen, and unknown options are mistakes.

    `provider` is the kind of connection these options may name; its keys may stand inline too.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, strict=True, use_attribute_docstrings=True
    )
    provider: ClassVar[str | None] = None


class RetryOptions(Options):
    base_delay: Duration = 1.0
    """Ceiling of the first wait; the ceiling doubles at each attempt and the wait is drawn below it."""
    max_delay: Duration = 300.0
    """The ceiling of all waits."""
    max_attempts: int = Field(default=8, ge=1)
    """After these, a batch is no longer retried alone: the lane finds out whether it or the destination is at fault."""


class BreakerOptions(Options):
    failure_threshold: int = Field(default=5, ge=1)
    """Consecutive failures that open the breaker."""
    failure_rate: float = Field(default=0.5, gt=0, le=1)
    """Share of failures within the window that opens it."""
    window: Duration = 60.0
    """How far back the rate looks."""
    timeout: Duration = 30.0
    """How long it stays open before one batch is let through."""


class BatchOptions(Options):
    max_records: int | None = Field(default=None, ge=1)
    """Records in a batch; the sink's own limit if left out."""
    max_bytes: Size | None = None
    """Bytes of raw bodies in a batch; the sink's own limit if left out."""
    max_age: Duration | None = None
    """How long the oldest waiting scan may wait for the batch to fill."""


class FieldsOptions(Options):
    include: tuple[str, ...] | None = Field(default=None, strict=False)
    """Dotted paths to keep; all if left out."""
    exclude: tuple[str, ...] = Field(default=(), strict=False)
    """Dotted paths to leave out."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Dotted path to new last name."""

    @field_validator("include", "exclude", "rename")
    @classmethod
    def _check_paths(cls, value: Any) -> Any:
        for path in value or ():
            if not all(path.split(".")):
                raise ValueError(f"{path!r} is not a dotted path, like response.audio_data")
        for path, name in value.items() if isinstance(value, dict) else ():
            if not name or "." in name:
                raise ValueError(f"{path} is renamed within its object: {name!r} must be one name, without dots")
        return value


class OversizeOptions(Options):
    action: Literal["dead_letter", "trim", "claim_check"] = "dead_letter"
    """`trim` leaves the fields under `trim` out; `claim_check` stores the whole scan and sends where it lies."""
    destination: str | None = None
    """For `claim_check`: the destination in whose store the whole scan is kept, as `claims/` and its SHA-256."""
    trim: tuple[str, ...] = Field(default=("response.audio_data",), strict=False)
    """Dotted paths of what is left out of a scan that is too large."""

    @model_validator(mode="after")
    def _check(self) -> "OversizeOptions":
        if (self.action == "claim_check") != (self.destination is not None):
            raise ValueError("claim_check needs the destination that keeps the scans, and no other action has one")
        FieldsOptions(exclude=self.trim)
        return self


OnConflict = Literal["dead_letter", "version", "overwrite", "keep"]


class SinkOptions(Options):
    """Common to every destination."""

    type: str = ""
    """Which connector."""
    connection: str | None = None
    """A name under `connections`."""
    when: str | None = None
    """A CEL rule, or `otherwise`; without it every scan matches."""
    fields: FieldsOptions | None = None
    """What of a scan leaves; all of it, byte for byte, if left out."""
    oversize: OversizeOptions = OversizeOptions()
    """What becomes of a scan that the destination cannot take because of its size."""
    batch: BatchOptions = BatchOptions()
    """When batches are sealed."""
    retry: RetryOptions = RetryOptions()
    """How failures are repeated."""
    breaker: BreakerOptions = BreakerOptions()
    """When the destination is given a rest."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before one call to the service is given up as unknown."""
    max_in_flight: int = Field(default=4, ge=1, le=256)
    """Batches being written at once."""
    on_conflict: OnConflict = "dead_letter"
    """What becomes of a scan whose id came before with other content."""


class SourceOptions(Options):
    """Common to every source."""

    type: str = ""
    """Which connector."""
    connection: str | None = None
    """A name under `connections`."""
    scope: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Set before the scan ids of this source, so that two scanners' ids do not meet."""
    delivers: Literal["scans", "requests"] = "scans"
    """Completed scans, or requests for scans, which the config's `scanner` performs."""
    silent_after: Duration | None = Field(default=None, gt=0)
    """How long nothing may come from it before the alert `source_silent` is raised; never if left out."""

    @property
    def acknowledging(self) -> bool:
        """Whether the service keeps each message until it is acknowledged, as `buffer: none` needs."""
        return False


class QueueSourceOptions(SourceOptions):
    """Common to sources of which each message is acknowledged by itself."""

    dead_letter_queue: bool = False
    """With `buffer: none`: the queue has a dead-letter queue of its own, which takes what no destination can."""

    @property
    def acknowledging(self) -> bool:
        return True


class CacheOptions(Options):
    ttl: Duration = Field(default=0.0, ge=0)
    """How long a scan answers further requests with the very same config; 0s, the default, measures every time."""


class ScannerOptions(Options):
    """Common to every scanner."""

    type: str = ""
    """Which connector."""
    connection: str | None = None
    """A name under `connections`."""
    timeout: Duration = Field(default=30.0, gt=0)
    """Seconds before a scan is given up as unknown."""
    max_in_flight: int = Field(default=4, ge=1, le=256)
    """Scans performed at once."""
    on_unknown: Literal["error", "retry"] = "error"
    """What becomes of a request whose outcome a crash or a lost answer has hidden: `error` never scans twice."""
    cache: CacheOptions = CacheOptions()
    """A measurement is not a look-up, so nothing is kept unless this says so."""
