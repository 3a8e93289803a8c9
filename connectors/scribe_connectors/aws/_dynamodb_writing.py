"""Writing items: which requests, and what becomes of a scan whose key holds an item already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from scribe_connectors.aws import _dynamodb_calls as requests
from scribe_connectors.aws._dynamodb_calls import Call
from scribe_connectors.aws._dynamodb_item import Attributes, Entry
from scribe_connectors.aws._dynamodb_options import DynamoDbSinkOptions
from scribe_connectors.aws._dynamodb_read import order_of, same_content
from scribe_connectors.aws._dynamodb_table import Table
from scribe_connectors.aws._errors import code_of, of_statement
from scribe_export.errors import Conflict, Misconfigured, SinkError, Throttled, Transient
from scribe_export.parts import Part, Requests, one_for_all

_FAILURES = 2  # of one thread in a row, before its others are not tried


@dataclass(slots=True)
class _Work:
    """Requests made one after another by one thread, and what became of their scans."""

    calls: list[Call]
    tally: list[str] = field(default_factory=list)


class Writer:
    """Writes the items of batches, several requests at once."""

    def __init__(self, table: Table, options: DynamoDbSinkOptions) -> None:
        self._table, self._options = table, options
        self._requests = Requests(self._send, classify=table.classify, concurrency=options.concurrency)

    def calls(self, entries: Sequence[Entry]) -> list[Call]:
        """The first requests for these items."""
        return requests.calls(self._table.name, self._options.writes, entries, self._options.max_request_bytes)

    async def write(self, entries: Sequence[Entry]) -> str:
        """Return once every item is there, and say what became of them; raises as `Sink.write` does."""
        calls = self.calls(entries)
        tally: list[str] = []
        # With one key twice among them, their order counts.
        ordered = len({entry.key for entry in entries}) < len(entries)
        each = max(1, len(calls) if ordered else -(-len(calls) // self._options.concurrency))
        groups = [calls[start : start + each] for start in range(0, len(calls), each)]
        await self._requests.write(
            [Part(tuple(i for call in group for i in call.members), _Work(group, tally)) for group in groups]
        )
        return ", ".join(f"{tally.count(verb)} {verb}" for verb in sorted(set(tally)))

    def _send(self, part: Part) -> Mapping[int, SinkError]:
        work: _Work = part.payload
        errors: dict[int, SinkError] = {}
        stopped: SinkError | None = None
        failures = 0
        for call in work.calls:
            if stopped:
                errors |= dict.fromkeys(call.members, stopped)
                continue
            try:
                errors |= self._make(call, work.tally)
                failures = 0
            except Exception as error:
                known = error if isinstance(error, SinkError) else self._table.classify(error)
                if known is None:
                    raise
                errors |= dict.fromkeys(call.members, known)
                failures = failures + 1 if isinstance(known, Transient) else 0
                if isinstance(known, Misconfigured | Throttled) or failures == _FAILURES:
                    stopped = _not_tried(known)
        one = one_for_all(errors.values()) if len(errors) == len(part.members) else None
        if one:
            raise one
        return errors

    def _make(self, call: Call, tally: list[str]) -> dict[int, SinkError]:
        """One first request; the errors of its records."""
        if call.operation == "put_item":
            [entry] = call.entries
            found = self._put(call)
            tally.append("created" if found is None else self._meet(entry, found))
            return {}
        answer = self._table.send(call.operation, call.body)
        if call.operation == "batch_write_item":
            left, read = requests.unprocessed(call, answer)
            if not read:
                raise Transient("the answer names unprocessed items that were not sent")
            tally += ["put"] * (len(call.members) - len(left))
            return dict.fromkeys(left, Throttled("DynamoDB left this item unprocessed", applied="no"))
        return self._inserted(call, answer.get("Responses", ()), tally)

    def _inserted(self, call: Call, answers: Sequence[Any], tally: list[str]) -> dict[int, SinkError]:
        errors: dict[int, SinkError] = {}
        for index, entry in enumerate(call.entries):
            if index >= len(answers):
                errors[entry.member] = Transient("the answer says nothing of this statement")
                continue
            error = answers[index].get("Error")
            if not error:
                tally.append("created")
            elif error["Code"] in {"DuplicateItem", "ConditionalCheckFailed"}:
                # The same as a PutItem says what stands there.
                try:
                    tally += self._again(entry)
                except SinkError as known:
                    errors[entry.member] = known
            else:
                errors[entry.member] = of_statement(error["Code"], error.get("Message", ""))
        return errors

    def _again(self, entry: Entry) -> list[str]:
        work = _Work([requests.create(self._table.name, entry)])
        for error in self._send(Part((entry.member,), work)).values():
            raise error
        return work.tally

    def _put(self, call: Call) -> Mapping[str, Any] | None:
        """None if the item was put, else what stands there."""
        try:
            self._table.send(call.operation, call.body)
        except Exception as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            found: Mapping[str, Any] = getattr(error, "response", {}).get("Item") or {}
            if not found:
                raise Transient("the item that stands there was not told, or is gone again", applied="no") from error
            return found
        return None

    def _meet(self, entry: Entry, found: Mapping[str, Any]) -> str:
        """What becomes of a scan whose key holds an item already."""
        if self._same(found, entry, entry.key):
            return "present"
        action = self._options.on_conflict
        if action == "keep":
            return "kept as it was"
        if action == "version" and entry.versioned != entry.key:
            other = self._put(requests.create(self._table.name, entry, versioned=True))
            if other is None or self._same(other, entry, entry.versioned):
                return "created as a version" if other is None else "present"
        if action == "overwrite":
            newer = self._put(requests.replace_older(self._table.name, entry))
            if newer is None:
                return "overwritten"
            order = order_of(newer)
            if order is None or order < Decimal(entry.order):
                raise Transient("the item was changed by another writer meanwhile", applied="no")
            if order > Decimal(entry.order):
                return "superseded"
        raise Conflict(f"the item of scan key {_shown(entry.key)} holds other content already")

    def _same(self, found: Mapping[str, Any], entry: Entry, key: Attributes) -> bool:
        passing = [self._options.ttl.attribute] if self._options.ttl else []
        return same_content(found, entry, key=key, passing=passing)


def _not_tried(error: SinkError) -> SinkError:
    if not isinstance(error, Transient):
        return error
    kind = Throttled if isinstance(error, Throttled) else Transient
    return kind(f"not tried, the others failed: {error}", retry_after=error.retry_after, applied="no")


def _shown(key: Attributes) -> str:
    return ", ".join(f"{name}={next(iter(msgspec.json.decode(value).values()))!r:.80}" for name, value in key)
