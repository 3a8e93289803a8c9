"""What a user may write under a DynamoDB destination."""

from typing import Literal

from pydantic import Field, model_validator

from scribe_connectors.aws._dynamodb_calls import MAX_REQUEST_BYTES, Writes
from scribe_connectors.aws._dynamodb_item import OWN
from scribe_connectors.aws._dynamodb_table import TableOptions
from scribe_export.options import Duration, Options, SinkOptions, Size
from scribe_export.text_template import Text

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (seen 2026-11-24)
MAX_ITEM_BYTES = 400 * 1024

_NAME = r"^[A-Za-z0-9_.-]{1,255}$"


class PartitionKeyOptions(Options):
    name: str = Field(default="scan_id", pattern=_NAME)
    """The attribute."""
    value: Text = "{scan_id}"
    """What it holds."""
    type: Literal["number", "string"] = "number"
    """As the table declares it; the guide's scan ids are numbers."""


class SortKeyOptions(Options):
    name: str = Field(pattern=_NAME)
    """The attribute."""
    value: Text
    """What it holds, such as {timestamp}."""
    type: Literal["number", "string"] = "string"
    """As the table declares it."""


class TtlOptions(Options):
    attribute: str = Field(pattern=_NAME)
    """Where the table's time to live looks, such as expires_at."""
    after: Duration = Field(gt=0)
    """How long after the scan's own timestamp it expires, or after its journalling if it has none."""


class DynamoDbSinkOptions(TableOptions, SinkOptions):
    """A table to write to."""

    item: Literal["guide", "document"] = "guide"
    """`guide`: scan_id, timestamp, confidence, material, features and interpretation; `document`: the whole scan,
    compressed, beside what it can be found by."""
    writes: Writes = "conditional"
    """`conditional`: a PutItem a scan, where there is none yet; `insert`: the same, 25 at a time, in PartiQL; `batch`:
    BatchWriteItem, 25 at a time, whatever stands there."""
    partition_key: PartitionKeyOptions = PartitionKeyOptions()
    """The table's partition key."""
    sort_key: SortKeyOptions | None = None
    """The table's sort key, if it has one."""
    attributes: dict[str, Text] = Field(default_factory=dict, max_length=50)
    """More attributes, of type string, made of a scan's fields, for indexes and queries; an empty one is left out."""
    ttl: TtlOptions | None = None
    """When DynamoDB deletes the item."""
    max_item_bytes: Size = Field(default=MAX_ITEM_BYTES, ge=1024)
    """A larger item, by DynamoDB's own count, is refused, or becomes what `oversize` says."""
    max_request_bytes: Size = Field(default=MAX_REQUEST_BYTES, ge=1024)
    """All items of one `insert` or `batch` request together, as they go over the wire."""
    concurrency: int = Field(default=16, ge=1, le=256)
    """Requests being made at once."""

    @model_validator(mode="after")
    def _check(self) -> "DynamoDbSinkOptions":
        keys = self.table_keys()
        if not any("{scan_id}" in key.value for key in keys):
            raise ValueError("needs {scan_id} in the value of partition_key or sort_key, to tell scans apart")
        names = [key.name for key in keys] + list(self.attributes) + ([self.ttl.attribute] if self.ttl else [])
        for name in names:
            if names.count(name) > 1 or name in OWN:
                raise ValueError(f"the attribute {name!r} would be written twice; give each a name of its own")
        if self.writes == "batch" and self.on_conflict != "overwrite":
            raise ValueError(
                "writes: batch replaces items unseen; say on_conflict: overwrite as well, or use writes: insert"
            )
        if self.writes == "insert" and ":" in self.table:
            raise ValueError("writes: insert needs the table's name, not its ARN")
        if self.on_conflict == "version" and all(key.type == "number" for key in keys):
            raise ValueError("on_conflict: version needs a key of type string, to hold what tells versions apart")
        return self

    def table_keys(self) -> list[PartitionKeyOptions | SortKeyOptions]:
        """The table's keys, in their order."""
        return [self.partition_key, self.sort_key] if self.sort_key else [self.partition_key]

    def place(self) -> str:
        """Two destinations must not have the same."""
        values = "/".join(key.value for key in self.table_keys())
        return f"{self.endpoint_url or 'dynamodb'}/{self.region}/{self.table}/{values}"
