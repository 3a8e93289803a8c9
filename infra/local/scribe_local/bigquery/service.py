"""All that the server consists of, put together."""

from pathlib import Path

from scribe_local.bigquery.datasets import Datasets
from scribe_local.bigquery.insert_all import InsertAll
from scribe_local.bigquery.jobs import Jobs
from scribe_local.bigquery.load_jobs import LoadJobs
from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.pages import Page
from scribe_local.bigquery.queries import Queries
from scribe_local.bigquery.refusals import invalid
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.streaming_buffer import StreamingBuffer
from scribe_local.bigquery.tables import Tables
from scribe_local.bigquery.uploads import ResumableUploads
from scribe_local.bigquery.write_streams import WriteStreams


class Service:
    """One local BigQuery, without its servers; `file` None keeps nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self.settings = LiveSettings()
        self.store = Store(file)
        buffer = StreamingBuffer(self.settings)
        self.datasets = Datasets(self.store)
        self.tables = Tables(self.store, self.datasets, buffer)
        self.insert_all = InsertAll(self.store, self.tables, buffer, self.settings)
        loads = LoadJobs(self.store, self.tables, self.settings)
        queries = Queries(self.store, self.tables, buffer)
        self.jobs = Jobs(self.store, self.datasets, loads, queries, self.settings)
        self.streams = WriteStreams(self.store, self.tables, self.settings)
        self.uploads = ResumableUploads()

    def rows(self, name: TableName, page: Page, selected: list[str]) -> Document:
        """A table's rows: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list"""
        with self.store.transaction():
            fields = self.tables.fields(name)
            if selected:
                wanted = {column.lower() for column in selected}
                fields = tuple(field for field in fields if field.name.lower() in wanted)
                if len(fields) != len(wanted):
                    raise invalid("selectedFields names a column that the table does not have")
            total = self.store.count(name)
            rows = self.store.page(name, fields, page.start, page.rows)
        answer = page.answer(fields, rows, total)
        return {"kind": "bigquery#tableDataList", **answer}
