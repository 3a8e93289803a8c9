"""Load jobs: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload"""

import datetime as dt
import threading
from collections import Counter
from dataclasses import dataclass

from scribe_local.bigquery import load_files
from scribe_local.bigquery.names import TableName, table_of
from scribe_local.bigquery.refusals import Refused, duplicate, invalid, not_found, unsupported
from scribe_local.bigquery.schema import Field, Fields, changed, fields_of
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.store import Document, Store
from scribe_local.bigquery.tables import Tables

_FORMATS = ("NEWLINE_DELIMITED_JSON", "PARQUET")
_WRITES = ("WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_EMPTY")
_CREATES = ("CREATE_IF_NEEDED", "CREATE_NEVER")
_SCHEMA_UPDATES = ("ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION")
_KNOWN = {
    "destinationTable",
    "sourceFormat",
    "writeDisposition",
    "createDisposition",
    "schema",
    "schemaUpdateOptions",
    "ignoreUnknownValues",
    "maxBadRecords",
    "timePartitioning",
    "clustering",
    "parquetOptions",
    "encoding",
}


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What a load job is to do."""

    table: TableName
    source_format: str
    write: str
    create: bool
    fields: Fields
    updates: tuple[str, ...]
    ignore_unknown: bool
    max_bad: int
    lists: bool
    new_table: Document


def load_order(project: str, given: Document) -> LoadOrder:
    """From a job's configuration. Raises `Refused`."""
    for key, value in given.items():
        if key not in _KNOWN and value not in (None, False, {}, [], ""):
            raise unsupported(f"{key} in a load job")
    source_format = str(given.get("sourceFormat") or "CSV")
    if source_format not in _FORMATS:
        raise unsupported(f"load jobs of {source_format}")
    updates = tuple(str(each) for each in given.get("schemaUpdateOptions") or ())
    write = str(given.get("writeDisposition") or "WRITE_APPEND")
    create = str(given.get("createDisposition") or "CREATE_IF_NEEDED")
    for values, known in (((write,), _WRITES), ((create,), _CREATES), (updates, _SCHEMA_UPDATES)):
        for value in values:
            if value not in known:
                raise invalid(f"Invalid value: {value} is not one of {', '.join(known)}")
    if updates and write != "WRITE_APPEND":
        raise invalid("Schema update options should only be specified with WRITE_APPEND disposition.")
    return LoadOrder(
        table=table_of(given.get("destinationTable"), project),
        source_format=source_format,
        write=write,
        create=create == "CREATE_IF_NEEDED",
        fields=fields_of((given.get("schema") or {}).get("fields") or []),
        updates=updates,
        ignore_unknown=bool(given.get("ignoreUnknownValues")),
        max_bad=int(given.get("maxBadRecords") or 0),
        lists=bool((given.get("parquetOptions") or {}).get("enableListInference")),
        new_table={key: given[key] for key in ("timePartitioning", "clustering") if given.get(key)},
    )


class LoadJobs:
    """Files into tables, each whole or not at all."""

    def __init__(self, store: Store, tables: Tables, settings: LiveSettings) -> None:
        self._store = store
        self._tables = tables
        self._settings = settings
        self._lock = threading.Lock()
        self._jobs: Counter[tuple[dt.date, TableName]] = Counter()

    def run(self, order: LoadOrder, data: bytes) -> tuple[Document, list[dict[str, str]]]:
        """The job's statistics, and the errors of the rows left out. Raises `Refused`; call it in a transaction."""
        self._count(order.table)
        table = self._tables.find(order.table)
        if table is None and not order.create:
            raise not_found(f"Table {order.table}")
        if table is not None and order.write == "WRITE_EMPTY" and self._store.count(order.table):
            raise duplicate(f"Table {order.table}")
        old = fields_of(table["fields"]) if table is not None else None
        fields, loaded = self._read(order, old, data)
        self._prepare(order, old, fields)
        self._store.insert(order.table, loaded.rows)
        self._tables.touch(order.table)
        statistics = {
            "inputFiles": "1",
            "inputFileBytes": str(len(data)),
            "outputRows": str(loaded.rows.num_rows),
            "outputBytes": str(loaded.rows.nbytes),
            "badRecords": str(len(loaded.bad)),
        }
        return statistics, loaded.bad

    def _read(self, order: LoadOrder, old: Fields | None, data: bytes) -> tuple[Fields, load_files.Loaded]:
        """The table's schema after the job, and the rows for it."""
        if order.source_format == "PARQUET":
            file = load_files.open_parquet(data)
            given = order.fields or load_files.parquet_fields(file, lists=order.lists)
            fields = _schema_after(order, old, given, named=bool(order.fields))
            options = {"lists": order.lists, "ignore_unknown": order.ignore_unknown}
            return fields, load_files.fit_parquet(file, fields, **options)
        if not order.fields and not old:
            raise invalid("No schema specified on job or table.")
        fields = _schema_after(order, old, order.fields, named=bool(order.fields))
        options = {"ignore_unknown": order.ignore_unknown}
        return fields, load_files.read_json(data, fields, max_bad=order.max_bad, **options)

    def _prepare(self, order: LoadOrder, old: Fields | None, fields: Fields) -> None:
        if old is None:
            document = {"schema": {"fields": [field.document() for field in fields]}, **order.new_table}
            self._tables.create(order.table, document)
            return
        if order.write == "WRITE_TRUNCATE":
            self._tables.overwrite(order.table, fields)
        elif fields != old:
            self._tables.change_fields(order.table, fields)

    def _count(self, table: TableName) -> None:
        with self._lock:
            day = (dt.datetime.now(dt.UTC).date(), table)
            self._jobs[day] += 1
            count = self._jobs[day]
        if count > self._settings.now.load_jobs_per_table_per_day:
            message = (
                "Quota exceeded: Your table exceeded quota for imports or query appends per table. For more "
                "information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas"
            )
            raise Refused(403, "quotaExceeded", message, location="load_job_per_table.long")


def _schema_after(order: LoadOrder, old: Fields | None, given: Fields, *, named: bool) -> Fields:
    """`named` says that the job states its schema; a Parquet file that leaves columns out states nothing about them."""
    if not old or (order.write == "WRITE_TRUNCATE" and given):
        return given
    if not given:
        return old
    known = {field.name.lower() for field in given}
    left_out = [field for field in old if field.name.lower() not in known and field.mode != "REQUIRED"]
    additions = "ALLOW_FIELD_ADDITION" in order.updates
    if not named and not additions:
        # The file's rows are held against the table's schema when they are read.
        return old
    if not named:
        given = tuple(_as_in_table(field, old) for field in given)
    relaxations = "ALLOW_FIELD_RELAXATION" in order.updates
    return changed(old, (*given, *left_out), table=str(order.table), additions=additions, relaxations=relaxations)


def _as_in_table(field: Field, old: Fields) -> Field:
    return next((each for each in old if each.name.lower() == field.name.lower()), field)
