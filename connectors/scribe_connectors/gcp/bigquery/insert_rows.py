"""`method: insert_rows`: tabledata.insertAll with row ids, which the service remembers for about a minute."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from scribe_connectors.gcp.bigquery.load import check_size
from scribe_connectors.gcp.bigquery.rows import RowForm
from scribe_connectors.gcp.bigquery.target import Target, describe
from scribe_export.errors import Rejected, SinkError, Throttled, Transient
from scribe_export.model import Batch, Encoded, Usage
from scribe_export.parts import Limits, Part, Requests, divided

# https://cloud.google.com/bigquery/quotas#streaming_inserts (seen 2026-11-23): 500 rows a request are recommended
MAX_ROWS = 500
# https://cloud.google.com/bigquery/pricing (seen 2026-11-25): a row that was inserted is charged as if it had it
LEAST_CHARGED = 1024
_AROUND_ROW = len('{"insertId":"","json":}') + 64
_AROUND_ROWS = len('{"rows":[]}') - 1  # a comma is counted with each row, and the last has none
_ENVELOPE = 32  # what stands around the rows of a request
# https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll: `stopped` rows were not tried, because
# others of the request are invalid
_NEVER_TRIED = frozenset({"stopped"})
_THROTTLED = frozenset({"quotaExceeded", "rateLimitExceeded"})
_PASSING = frozenset({"backendError", "internalError", "timeout"})


class InsertRows:
    """Sends requests of rows; of a request with invalid rows, none is taken and the others come again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._requests = Requests(self._send, classify=target.classify, concurrency=target.options.concurrency)

    def encode(self, batch: Batch, shape: Mapping[str, Any], limit: int) -> Encoded:
        form = RowForm(shape)
        encode = msgspec.json.Encoder().encode
        rows: dict[int, bytes] = {}
        refused: dict[int, Rejected] = {}
        for index, record in enumerate(batch.records):
            try:
                row = b'{"insertId":"%s","json":%s}' % (_row_id(record.ident), encode(form.row(record)))
                check_size(len(row), limit)
                rows[index] = row
            except Rejected as error:
                refused[index] = error
        sizes = {index: len(row) + 1 for index, row in rows.items()}
        most = Limits(MAX_ROWS, (self._target.options.request_limit or limit) - _ENVELOPE)
        parts = [Part(members, [rows[index] for index in members]) for members in divided(sizes, most)]
        return Encoded(batch, parts, refused, sum(sizes.values()))

    def usage(self, encoded: Encoded) -> Usage:
        parts: list[Part] = encoded.payload
        sizes = [len(row) - _AROUND_ROW for part in parts for row in part.payload]
        sent = encoded.size + _AROUND_ROWS * len(parts)
        inserted = sum([max(LEAST_CHARGED, size) for size in sizes])
        kept = {"gcp_bigquery.inserted_bytes": inserted, "gcp_bigquery.stored_bytes": sum(sizes)}
        return Usage({"requests": len(parts), "bytes_sent": sent}, kept)

    async def write(self, encoded: Encoded) -> str:
        await self._requests.write(encoded.payload)
        return f"{len(encoded.batch.records)} rows"

    def _send(self, part: Part) -> Mapping[int, SinkError]:
        self._target.table.expect_grown()
        answer = self._target.connection.insert_all(self._target.reference, body_of(part))
        errors: dict[int, SinkError] = {}
        for one in answer.get("insertErrors", ()):
            errors[part.members[int(one["index"])]] = _of_row(one.get("errors") or ({},))
        return errors


def body_of(part: Part) -> bytes:
    """A request's body."""
    return b'{"rows":[%s]}' % b",".join(part.payload)


def _row_id(ident: str) -> bytes:
    return hashlib.sha256(ident.encode()).hexdigest().encode()


def _of_row(errors: Any) -> SinkError:
    first = errors[0]
    reason, message = str(first.get("reason", "")), "; ".join(describe(one) for one in errors[:3])
    if reason in _NEVER_TRIED:
        return Transient(message, applied="no")
    if reason in _THROTTLED:
        return Throttled(message, applied="no")
    if reason in _PASSING:
        return Transient(message)
    return Rejected(message, kind="row")
