"""Scans read from a table or a query in BigQuery."""

import concurrent.futures
import hashlib
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
from anyio import to_thread
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from scribe_connectors.gcp._rpc_errors import classify
from scribe_connectors.gcp.bigquery.connection import connect
from scribe_connectors.gcp.bigquery.source_options import BigQuerySourceOptions
from scribe_export.archives.reading import Handover
from scribe_export.errors import Misconfigured, SinkError, SourceError, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Options

Place = Sequence[Mapping[str, Any]]
"""The values of `order_by` in the last row taken, as the API writes query parameters."""


class BigQuerySource(Source):
    """Asks for the rows behind the last that was journalled, in order, and remembers each page's last row.

    So it goes on where it was, however much later. Needs bigquery.jobs.create in the project, and
    bigquery.tables.getData on what it reads.
    """

    options_type: ClassVar[type[Options]] = BigQuerySourceOptions
    options: BigQuerySourceOptions

    def __init__(self, options: BigQuerySourceOptions, context: Context) -> None:
        super().__init__(options, context)
        self._rest = connect(options, context.folder, timeout=options.timeout, connections=4)
        read = [options.dataset, options.table, options.query, options.column, options.order_by]
        self._types: dict[str, str] = {}
        self._key = f"after {hashlib.sha256(msgspec.json.encode(read)).hexdigest()[:16]}"

    async def open(self) -> None:
        await self._blocking(self._rest.get)

    async def close(self) -> None:
        await to_thread.run_sync(self._rest.close)

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        handover = Handover()
        while True:
            await handover.settled([self._key])
            known = (await checkpoint.get([self._key])).get(self._key)
            pages = await self._blocking(self._pages, msgspec.json.decode(known) if known else ())
            taken = 0
            while page := await self._blocking(next, pages, None):
                await handover.room([self._key])
                if handover.refused():
                    break
                taken += len(page)
                incoming = [self._incoming(row) for row in page]
                yield handover.hand(incoming, {self._key: self._place(page[-1])})
            if handover.refused() or taken < self.options.rows_per_query:
                if self.context.once or not self.options.follow:
                    await handover.room([self._key])
                    if handover.refused():
                        raise Transient("a delivery was not taken; its rows are read again", applied="no")
                    return
                await self.context.clock.sleep(self.options.poll_interval)

    def _pages(self, place: Place) -> Iterator[Sequence[bigquery.Row]]:
        connection = self._rest.get()
        after = [bigquery.ScalarQueryParameter.from_api_repr(dict(one)) for one in place]
        given = [one for one in after if one.value is not None]
        if self.options.lag:
            until = datetime.fromtimestamp(self.context.clock.now() - self.options.lag, UTC)
            given.append(bigquery.ScalarQueryParameter("until", "TIMESTAMP", until))
        config = bigquery.QueryJobConfig(
            query_parameters=given,
            default_dataset=bigquery.DatasetReference(connection.project, self.options.dataset),
            use_legacy_sql=False,
            maximum_bytes_billed=self.options.max_bytes_billed,
        )
        rows = connection.client.query_and_wait(
            self._sql(after),
            job_config=config,
            location=self.options.location,
            api_timeout=self.options.timeout,
            wait_timeout=self.options.query_timeout,
            retry=None,
            job_retry=None,
            page_size=self.options.page_size,
        )
        self._types = {field.name: field.field_type for field in rows.schema}
        self._check_columns()
        return (list(page) for page in rows.pages)

    def _sql(self, after: Sequence[bigquery.ScalarQueryParameter]) -> str:
        found = f"({self.options.query}\n)" if self.options.query else f"`{self.options.table}`"
        wheres = [f"({_behind(self.options.order_by, after)})"] if after else []
        if self.options.lag:
            wheres.append(f"`{self.options.order_by[0]}` <= @until")
        where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
        order = ", ".join(f"`{name}`" for name in self.options.order_by)
        # Only the operator's own text and checked names are in it; values are parameters.
        return f"SELECT * FROM {found}{where} ORDER BY {order} LIMIT {self.options.rows_per_query}"  # noqa: S608

    def _check_columns(self) -> None:
        for name in (*self.options.order_by, *([self.options.column] if self.options.column else ())):
            if name not in self._types:
                raise Misconfigured(f"the rows have no column {name}; they have {', '.join(self._types)}")

    def _place(self, row: bigquery.Row) -> str:
        place = [
            bigquery.ScalarQueryParameter(f"after{number}", self._types[name], row[name]).to_api_repr()
            for number, name in enumerate(self.options.order_by)
        ]
        return msgspec.json.encode(place).decode()

    def _incoming(self, row: bigquery.Row) -> Incoming:
        origin = f"{self.options.table or 'query'} {', '.join(f'{name}={row[name]}' for name in self.options.order_by)}"
        if self.options.column is None:
            # Its own items() copies every value, level by level.
            return Incoming(_encoded({name: row[name] for name in row.keys()}), origin)  # noqa: SIM118 - no mapping
        value = row[self.options.column]
        return Incoming(value.encode() if isinstance(value, str) else _encoded(value), origin)

    async def _blocking(self, call: Any, *arguments: Any) -> Any:
        try:
            # A query that nobody waits for any more changes nothing.
            return await to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
        except concurrent.futures.TimeoutError as error:
            raise Transient(f"the query took longer than query_timeout, {self.options.query_timeout} s") from error
        except BadRequest as error:
            raise Misconfigured(f"BigQuery refuses the query: {error.message}") from error
        except (SinkError, SourceError):
            raise
        except Exception as error:
            self._rest.failed(error)
            known = classify(error)
            if known is None:
                raise
            raise known from error


def _behind(columns: Sequence[str], after: Sequence[bigquery.ScalarQueryParameter]) -> str:
    """The condition that a row comes after another in the order of the columns, in which NULL comes first.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#order_by_clause
    """
    ways: list[str] = []
    same: list[str] = []
    for name, parameter in zip(columns, after, strict=True):
        null = parameter.value is None
        later = f"`{name}` IS NOT NULL" if null else f"`{name}` > @{parameter.name}"
        ways.append(" AND ".join([*same, later]))
        same.append(f"`{name}` IS NULL" if null else f"`{name}` = @{parameter.name}")
    return " OR ".join(f"({way})" for way in ways)


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(_finite(value))
    except RecursionError:
        # The journal sets it aside, and the rows behind it go on.
        return b'"a value of this row is nested too deeply to be read; name the column that holds the scan as text"'


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; as text they are still told apart."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
