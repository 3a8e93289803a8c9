"""A table's schema as the Storage Write API tells it."""

from typing import Any

from google.cloud.bigquery_storage_v1 import types

from scribe_local.bigquery.schema import Field, Fields

_TYPES = {"INTEGER": "INT64", "FLOAT": "DOUBLE", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}


def table_schema(fields: Fields) -> Any:
    """A protocol buffer of `TableSchema`."""
    return types.TableSchema.pb(types.TableSchema(fields=[_field(field) for field in fields]))


def _field(field: Field) -> types.TableFieldSchema:
    kind = _TYPES.get(field.type, field.type)
    inner = [_field(each) for each in field.fields]
    return types.TableFieldSchema(
        name=field.name, type_=kind, mode=field.mode, fields=inner, description=field.description
    )
