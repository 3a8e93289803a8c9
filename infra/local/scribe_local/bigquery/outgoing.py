"""Rows that go out, as cells of BigQuery's JSON: https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list"""

import base64
import datetime as dt
import math
from decimal import Decimal
from typing import Any

from scribe_local.bigquery.schema import Field, Fields

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def cells(fields: Fields, rows: Any, *, whole_timestamps: bool) -> list[dict[str, Any]]:
    """A pyarrow table's rows; with `whole_timestamps`, timestamps are microseconds, else seconds with a fraction."""
    return [_record(fields, row, whole=whole_timestamps) for row in rows.to_pylist()]


def _record(fields: Fields, row: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    return {"f": [{"v": _cell(field, row[field.name], whole=whole)} for field in fields]}


def _cell(field: Field, value: Any, *, whole: bool) -> Any:
    if field.mode == "REPEATED":
        return [{"v": _one(field, each, whole=whole)} for each in value or ()]
    return None if value is None else _one(field, value, whole=whole)


def _one(field: Field, value: Any, *, whole: bool) -> Any:
    if value is None:
        return None
    match field.type:
        case "RECORD":
            return _record(field.fields, value, whole=whole)
        case "BOOLEAN":
            return "true" if value else "false"
        case "BYTES":
            return base64.b64encode(value).decode()
        case "TIMESTAMP":
            micros = (value - _EPOCH) // dt.timedelta(microseconds=1)
            return str(micros) if whole else f"{Decimal(micros).scaleb(-6):f}"
        case "DATE" | "DATETIME" | "TIME":
            return value.isoformat()
        case "NUMERIC" | "BIGNUMERIC":
            return f"{Decimal(value).normalize():f}"
        case "FLOAT":
            return _float(value)
        case _:
            return str(value)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
