"""What DynamoDB charges for."""

from collections.abc import Sequence

import msgspec

from scribe_connectors.aws._dynamodb_calls import count_of
from scribe_connectors.aws._dynamodb_item import Entry
from scribe_connectors.aws._dynamodb_options import DynamoDbSinkOptions
from scribe_connectors.aws._dynamodb_values import attribute_size, number_size
from scribe_export.model import Usage

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html (seen 2026-11-25): an item
# is rounded up to the next; a conditional write that is refused takes as many as one that succeeds
UNIT_BYTES = 1024
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (seen 2026-11-25): of
# each item that is stored, for its index
INDEX_BYTES = 100


def usage_of(entries: Sequence[Entry], options: DynamoDbSinkOptions) -> Usage:
    """Of writing these to a table without secondary indexes, in on-demand mode."""
    sizes = [size_of(entry) for entry in entries]
    return Usage(
        {
            "requests": count_of(options.writes, entries, options.max_request_bytes),
            "bytes_sent": sum([entry.size for entry in entries]),
            "aws_dynamodb.write_request_units": sum([-(-size // UNIT_BYTES) for size in sizes]),
        },
        {"aws_dynamodb.stored_bytes": sum(sizes) + INDEX_BYTES * len(sizes)},
    )


def size_of(entry: Entry) -> int:
    """Bytes of an item by DynamoDB's rules, from its form over the wire, of which as little as can be is decoded."""
    return sum([len(name.encode()) + _size(value) for name, value in (*entry.key, *entry.rest)])


def _size(value: bytes) -> int:
    # {"S":"…"}, {"N":"…"} and {"B":"…"}: six bytes before and two behind.
    kind, inner = value[2:6], value[6:-2]
    if kind == b'S":"' and b"\\" not in inner:
        return len(inner)
    if kind == b'N":"':
        return number_size(inner.decode())
    if kind == b'B":"':
        return len(inner) * 3 // 4 - inner.count(b"=", -2)
    return attribute_size(msgspec.json.decode(value))
