"""What the user writes under a source or a destination in Redis."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from scribe_connectors.redis._client import RedisOptions
from scribe_export.keys import KeyTemplate
from scribe_export.options import Duration, Options, SinkOptions, Size, SourceOptions

# https://redis.io/docs/latest/develop/data-types/strings/#limits (seen 2026-11-24): of one value
MAX_VALUE = 512 * 2**20


def _one_a_scan(value: str) -> str:
    if not KeyTemplate.parse(value).per_record:
        raise ValueError("needs {scan_id}: a key holds one scan; use list or stream for batches")
    return value


Name = Annotated[str, Field(min_length=1, max_length=512)]


class RedisSinkOptions(RedisOptions, SinkOptions):
    """Where to put scans: exactly one of `list`, `stream`, `channel` and `key`."""

    list: Name | None = None
    """A list to push to, one element a scan."""
    stream: Name | None = None
    """A stream to add to, one entry a scan with the fields scan_id, sha256 and the document."""
    channel: Name | None = None
    """A channel to publish on, one message a scan; who is not subscribed at that moment never hears of it."""
    key: Annotated[str, AfterValidator(_one_a_scan)] | None = None
    """Keys to set, one a scan, such as scribe:scan:{scan_id}; one that exists is never replaced."""
    push: Literal["left", "right"] = "left"
    """The end of the list to push to; readers that take from the right, as the guide's, want left."""
    field: Name = "document"
    """The field of a stream's entry that holds the scan."""
    max_length: int | None = Field(default=None, ge=1)
    """Of the list, or about that of the stream: older elements are dropped, read or not. Unbounded if left out."""
    ttl: Duration | None = Field(default=None, ge=0.001)
    """How long keys live; for ever if left out."""
    wait_replicas: int = Field(default=0, ge=0, le=64)
    """Replicas that must have a batch before it counts as delivered."""
    max_value_bytes: Size = Field(default=MAX_VALUE, ge=1024)
    """A larger scan is refused, or becomes what `oversize` says."""

    @model_validator(mode="after")
    def _check(self) -> "RedisSinkOptions":
        given = [name for name in ("list", "stream", "channel", "key") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of list, stream, channel and key")
        if self.ttl is not None and not self.key:
            raise ValueError("ttl is for keys; bound a list or a stream with max_length")
        if self.max_length is not None and not (self.list or self.stream):
            raise ValueError("max_length is for a list or a stream")
        if self.wait_replicas and self.channel:
            raise ValueError("wait_replicas waits for what is kept, and a channel keeps nothing")
        if self.key and self.on_conflict == "overwrite":
            raise ValueError("on_conflict: overwrite is not for keys, which do not tell older from newer; use version")
        return self

    @property
    def kind(self) -> Literal["list", "stream", "channel", "key"]:
        """Which of the four it is."""
        return "list" if self.list else "stream" if self.stream else "channel" if self.channel else "key"

    def place(self) -> str | None:
        """Two destinations must not have the same; any number may add to a list, a stream or a channel."""
        return f"{self.url}/{self.key}" if self.key else None


class ReplyOptions(Options):
    list: Name | None = None
    """A list to push replies to, where requesters look for theirs."""
    stream: Name | None = None
    """A stream to add replies to, with the fields request_id and document."""
    max_length: int = Field(default=10_000, ge=1)
    """Replies kept, about so many in a stream: of what nobody fetches, the oldest go."""
    ttl: Duration | None = Field(default=None, ge=0.001)
    """Replies are forgotten, all of them, when none came for so long; never if left out."""

    @model_validator(mode="after")
    def _check(self) -> "ReplyOptions":
        if (self.list is None) == (self.stream is None):
            raise ValueError("give either list or stream")
        return self


class RedisSourceOptions(RedisOptions, SourceOptions):
    """Where to take scans or requests from: a list, or a stream as one of a group."""

    list: Name | None = None
    """A list to take from, at its right end: producers push to the left."""
    stream: Name | None = None
    """A stream to read with `group`."""
    group: Name | None = None
    """The stream's consumer group; made if it is not there, and the stream too."""
    start: Literal["all", "latest"] = "all"
    """Where a group that is made begins: with all that the stream holds, or with what comes from then on."""
    field: Name = "document"
    """The field of a stream's entry that holds the scan or the request."""
    delete: bool = False
    """Whether journalled entries are deleted from the stream; not if it has other groups."""
    reply: ReplyOptions | None = None
    """Where requests are answered; not at all if left out."""
    lease: Duration = Field(default=30.0, ge=1, le=86_400)
    """After how long without a sign of life another process takes over what this one took and did not journal."""
    max_records: int = Field(default=500, ge=1, le=10_000)
    """What is taken and journalled at once, at most."""
    max_unacked: int = Field(default=1000, ge=1, le=100_000)
    """Taken and not yet journalled, at most."""
    max_unacked_bytes: Size = Field(default=64 * 2**20, ge=2**20)
    """Their bytes; what is taken last may pass it."""
    timeout: Duration = Field(default=30.0, ge=1)
    """Seconds before one call is given up."""

    @model_validator(mode="after")
    def _check(self) -> "RedisSourceOptions":
        if (self.list is None) == (self.stream is None):
            raise ValueError("give either list, or stream with its group")
        if (self.stream is None) != (self.group is None):
            raise ValueError("stream and group belong together")
        if self.list and self.delete:
            raise ValueError("delete is for streams; what is taken from a list is gone from it")
        if self.reply and self.delivers != "requests":
            raise ValueError("reply answers requests; it needs delivers: requests")
        return self

    @property
    def acknowledging(self) -> bool:
        """Entries of a stream wait for their acknowledgement; an element of a list is gone from it."""
        return self.stream is not None
