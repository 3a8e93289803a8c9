"""Query parameters: https://cloud.google.com/bigquery/docs/parameterized-queries"""

from typing import Any

from scribe_local.bigquery.incoming import BadValue, RowReader
from scribe_local.bigquery.refusals import invalid
from scribe_local.bigquery.schema import Field, fields_of
from scribe_local.bigquery.sql import position


class Parameters:
    """Values with their types."""

    def __init__(self, given: list[dict[str, Any]]) -> None:
        """Raises `Refused`."""
        self.types: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        for index, parameter in enumerate(given):
            name = str(parameter.get("name") or position(index))
            field = _field(name, parameter.get("parameterType") or {})
            value = _value(field, parameter.get("parameterValue") or {})
            try:
                read = RowReader((_renamed(field),), json_text=True).read({"value": value})
            except BadValue as error:
                raise invalid(f"Invalid value for query parameter {name}: {error.message}") from None
            self.types[name] = field.sql
            self._values[name] = read.get("value")

    def values(self, used: tuple[str, ...]) -> dict[str, Any]:
        """Those of some names; DuckDB takes no others than a statement has."""
        return {name: self._values[name] for name in used}


def _field(name: str, kind: dict[str, Any]) -> Field:
    which = str(kind.get("type", "STRING")).upper()
    if which == "ARRAY":
        one = _field(name, kind.get("arrayType") or {})
        return Field(name, one.type, "REPEATED", one.fields)
    if which in ("STRUCT", "RECORD"):
        inner = tuple(
            _field(str(each.get("name", "")), each.get("type") or {}) for each in kind.get("structTypes") or ()
        )
        return Field(name, "RECORD", "NULLABLE", inner)
    # fields_of knows the types, not the names of parameters.
    return Field(name, fields_of([{"name": "value", "type": which}])[0].type)


def _renamed(field: Field) -> Field:
    return Field("value", field.type, field.mode, field.fields)


def _value(field: Field, given: dict[str, Any]) -> Any:
    one = Field(field.name, field.type, "NULLABLE", field.fields)
    if field.mode == "REPEATED":
        return [_value(one, each) for each in given.get("arrayValues") or ()]
    if field.type == "RECORD":
        inner = given.get("structValues") or {}
        return {each.name: _value(each, inner.get(each.name) or {}) for each in field.fields}
    return given.get("value")
