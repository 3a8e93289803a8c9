"""GoogleSQL made DuckDB's."""

from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.refusals import invalid_query, unsupported

_CHANGES: dict[Any, str] = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for DuckDB; `kind` is BigQuery's statementType, `changes` the table that it writes to."""

    sql: str
    kind: str
    tables: tuple[TableName, ...]
    changes: TableName | None
    parameters: tuple[str, ...]


def translate(text: str, *, project: str, dataset: str | None, parameters: dict[str, str]) -> Statement:
    """`parameters` are the DuckDB types of the named ones; `dataset` is the default one. Raises `Refused`."""
    try:
        parsed = [each for each in sqlglot.parse(text, read="bigquery") if each is not None]
    except sqlglot.errors.SqlglotError as error:
        raise invalid_query(f"Syntax error: {str(error).splitlines()[0]}") from None
    if len(parsed) != 1:
        raise unsupported("a query of several statements") if parsed else invalid_query("Syntax error: no statement")
    statement = parsed[0]
    kind = _CHANGES.get(type(statement)) or ("SELECT" if isinstance(statement, exp.Query) else None)
    if kind is None and isinstance(statement, exp.Column | exp.Alias):
        raise invalid_query(f"Syntax error: Unexpected {statement.name}")
    if kind is None:
        raise unsupported(f"the statement {statement.key.upper()}")
    _name_columns(statement)
    tables = _place_tables(statement, project, dataset)
    used = _type_parameters(statement, parameters)
    changes = tables[0] if kind != "SELECT" else None
    return Statement(statement.sql("duckdb"), kind, tuple(tables), changes, used)


def position(index: int) -> str:
    """The name of a parameter that has none."""
    return f"position_{index}"


def _name_columns(statement: Any) -> None:
    """Give columns without a name BigQuery's: f0_, f1_ and so on.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#using_aliases
    """
    if not isinstance(statement, exp.Select):
        return
    unnamed = 0
    for column in list(statement.expressions):
        if not column.output_name and not column.is_star:
            column.replace(exp.alias_(column.copy(), f"f{unnamed}_"))
            unnamed += 1


def _place_tables(statement: Any, project: str, dataset: str | None) -> list[TableName]:
    """Name each table as DuckDB has it, and return them, the statement's own first."""
    within = {with_.alias for with_ in statement.find_all(exp.CTE)}
    found = []
    for table in list(statement.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name in within):
            continue
        place = table.db or dataset
        if not place:
            message = f'Table "{table.name}" must be qualified with a dataset (e.g. dataset.table).'
            raise invalid_query(message)
        name = TableName(table.catalog or project, place, table.name)
        found.append(name)
        table.set("this", exp.to_identifier(name.table, quoted=True))
        table.set("db", exp.to_identifier(str(name.parent), quoted=True))
        table.set("catalog", None)
        if not table.alias and isinstance(table.parent, exp.From | exp.Join):
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name.table, quoted=True)))
    return found


def _type_parameters(statement: Any, types: dict[str, str]) -> tuple[str, ...]:
    """Give each parameter its type, and return the names of those that the statement has."""
    named = [(place, place.name) for place in statement.find_all(exp.Parameter)]
    unnamed = [(place, position(index)) for index, place in enumerate(statement.find_all(exp.Placeholder, bfs=False))]
    return tuple(_typed(place, name, types) for place, name in named + unnamed)


def _typed(place: Any, name: str, types: dict[str, str]) -> str:
    if name not in types:
        raise invalid_query(f"Query parameter '{name}' not found")
    parameter = exp.Parameter(this=exp.Var(this=name))
    place.replace(exp.cast(parameter, exp.DataType.build(types[name], dialect="duckdb")))
    return name
