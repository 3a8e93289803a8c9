"""The requests that write items, and what their answers say of the records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from scribe_connectors.aws._dynamodb_item import ORDER, Attributes, Entry
from scribe_export.parts import Limits, divided

Writes = Literal["conditional", "insert", "batch"]

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html and
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html (seen 2026-11-24)
MAX_ITEMS = 25
MAX_REQUEST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the operation by its method's name, the body, and whose items it carries."""

    operation: str
    body: bytes
    entries: tuple[Entry, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """The indexes of its records."""
        return tuple(entry.member for entry in self.entries)


def calls(table: str, writes: Writes, entries: Sequence[Entry], most: int) -> list[Call]:
    """First requests for all entries, in their order."""
    if writes == "conditional":
        return [create(table, entry) for entry in entries]
    make = insert if writes == "insert" else batch
    return [make(table, group) for group in _groups(entries, most)]


def count_of(writes: Writes, entries: Sequence[Entry], most: int) -> int:
    """How many first requests there are, without making them."""
    return len(entries) if writes == "conditional" else sum(1 for _ in _groups(entries, most))


def create(table: str, entry: Entry, *, versioned: bool = False) -> Call:
    """Put the item where there is none."""
    key = entry.versioned if versioned else entry.key
    return _put(table, entry, key, {"ConditionExpression": "attribute_not_exists(#k)"}, {})


def replace_older(table: str, entry: Entry) -> Call:
    """Put the item where there is none, or one that was journalled earlier."""
    condition: dict[str, Any] = {
        "ConditionExpression": "attribute_not_exists(#k) OR attribute_not_exists(#o) OR #o < :o",
        "ExpressionAttributeValues": {":o": {"N": entry.order}},
    }
    return _put(table, entry, entry.key, condition, {"#o": ORDER})


def _put(table: str, entry: Entry, key: Attributes, condition: dict[str, Any], names: dict[str, str]) -> Call:
    around = {
        **condition,
        "ExpressionAttributeNames": {"#k": key[0][0], **names},
        # What stands there comes with the refusal, so no right to read is needed.
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    body = b'{"TableName":%s,"Item":%s,%s' % (_text(table), _item(key, entry), msgspec.json.encode(around)[1:])
    return Call("put_item", body, (entry,))


def batch(table: str, entries: Sequence[Entry]) -> Call:
    """Put the items whatever stands there."""
    puts = b",".join(b'{"PutRequest":{"Item":%s}}' % _item(entry.key, entry) for entry in entries)
    return Call("batch_write_item", b'{"RequestItems":{%s:[%s]}}' % (_text(table), puts), tuple(entries))


def insert(table: str, entries: Sequence[Entry]) -> Call:
    """Put each item where there is none, in PartiQL."""
    statements = []
    for entry in entries:
        attributes = (*entry.key, *entry.rest)
        names = ",".join(f"'{name}':?" for name, _ in attributes)
        values = b",".join(value for _, value in attributes)
        statement = _text(f'INSERT INTO "{table}" VALUE {{{names}}}')
        statements.append(b'{"Statement":%s,"Parameters":[%s]}' % (statement, values))
    return Call("batch_execute_statement", b'{"Statements":[%s]}' % b",".join(statements), tuple(entries))


def unprocessed(call: Call, answer: Mapping[str, Any]) -> tuple[set[int], bool]:
    """The members of a `batch` that were not put, and whether the answer could be read in full."""
    left = [put["PutRequest"]["Item"] for puts in answer.get("UnprocessedItems", {}).values() for put in puts]
    known = {_identity(_read(entry.key), entry.key): entry.member for entry in call.entries}
    found = [known.get(_identity(item, call.entries[0].key)) for item in left]
    return {member for member in found if member is not None}, None not in found


def _identity(item: Mapping[str, Any], key: Attributes) -> tuple[str, ...]:
    return tuple(str(item.get(name)) for name, _ in key)


def _read(attributes: Attributes) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in attributes}


def _groups(entries: Iterable[Entry], most: int) -> Iterator[Sequence[Entry]]:
    """Cut into requests; no two with the same key are in one, which the service would refuse whole."""
    rounds: list[list[Entry]] = []
    seen: dict[Attributes, int] = {}
    for entry in entries:
        turn = seen[entry.key] = seen.get(entry.key, -1) + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(entry)
    for members in rounds:
        sizes = {index: entry.size for index, entry in enumerate(members)}
        for indexes in divided(sizes, Limits(MAX_ITEMS, most)):
            yield [members[index] for index in indexes]


def _item(key: Attributes, entry: Entry) -> bytes:
    return b"{%s}" % b",".join(b"%s:%s" % (_text(name), value) for name, value in (*key, *entry.rest))


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)
