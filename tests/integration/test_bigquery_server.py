"""The local BigQuery's datasets, tables and rows, as its genuine client finds them."""

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery as bq
from support.bigquery import PROJECT

SCHEMA = [
    bq.SchemaField("id", "INT64", "REQUIRED"),
    bq.SchemaField("material", "STRING"),
    bq.SchemaField("timestamp", "TIMESTAMP"),
]


def _table(dataset: str, name: str = "scans") -> bq.Table:
    return bq.Table(f"{PROJECT}.{dataset}.{name}", schema=SCHEMA)


# https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets
def test_a_dataset_is_created_once_and_deleted_when_it_is_empty(bigquery_client: bq.Client, dataset: str) -> None:
    assert bigquery_client.get_dataset(dataset).location == "US"
    assert dataset in [each.dataset_id for each in bigquery_client.list_datasets()]
    with pytest.raises(Conflict, match="Already Exists: Dataset"):
        bigquery_client.create_dataset(dataset)
    bigquery_client.create_table(_table(dataset))
    with pytest.raises(BadRequest, match="still in use"):
        bigquery_client.delete_dataset(dataset)
    bigquery_client.delete_dataset(dataset, delete_contents=True)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        bigquery_client.get_dataset(dataset)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        bigquery_client.create_table(_table(dataset))


# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
def test_a_table_keeps_its_schema_partitioning_and_clustering(bigquery_client: bq.Client, dataset: str) -> None:
    wanted = _table(dataset)
    wanted.time_partitioning = bq.TimePartitioning(type_="DAY", field="timestamp", expiration_ms=86_400_000)
    wanted.clustering_fields = ["material", "id"]
    wanted.labels = {"team": "lab"}
    bigquery_client.create_table(wanted)
    with pytest.raises(Conflict, match="Already Exists: Table"):
        bigquery_client.create_table(wanted)
    found = bigquery_client.get_table(wanted)
    assert [(field.name, field.field_type, field.mode) for field in found.schema] == [
        ("id", "INTEGER", "REQUIRED"),
        ("material", "STRING", "NULLABLE"),
        ("timestamp", "TIMESTAMP", "NULLABLE"),
    ]
    assert found.time_partitioning == wanted.time_partitioning
    assert found.clustering_fields == ["material", "id"]
    assert found.labels == {"team": "lab"}
    assert found.created is not None
    assert found.num_rows == 0
    assert [each.table_id for each in bigquery_client.list_tables(dataset)] == ["scans"]
    bigquery_client.delete_table(wanted)
    with pytest.raises(NotFound, match="Not found: Table"):
        bigquery_client.get_table(wanted)


# https://cloud.google.com/bigquery/docs/creating-partitioned-tables, .../docs/clustered-tables#cluster_column_types
@pytest.mark.parametrize("column", ["material", "missing"])
def test_a_table_is_partitioned_only_by_a_time_of_its_own(
    bigquery_client: bq.Client, dataset: str, column: str
) -> None:
    wanted = _table(dataset)
    wanted.time_partitioning = bq.TimePartitioning(field=column)
    with pytest.raises(BadRequest, match=column):
        bigquery_client.create_table(wanted)
    wanted = _table(dataset)
    wanted.clustering_fields = ["missing"]
    with pytest.raises(BadRequest, match="missing"):
        bigquery_client.create_table(wanted)


# https://cloud.google.com/bigquery/docs/managing-table-schemas
def test_columns_can_be_added_and_relaxed_and_rows_stay(bigquery_client: bq.Client, dataset: str) -> None:
    table = bigquery_client.create_table(_table(dataset))
    assert bigquery_client.insert_rows_json(table, [{"id": 1}]) == []
    table.schema = [
        bq.SchemaField("id", "INT64"),
        *SCHEMA[1:],
        bq.SchemaField("more", "RECORD", "REPEATED", fields=[bq.SchemaField("x", "FLOAT64")]),
    ]
    table = bigquery_client.update_table(table, ["schema"])
    assert [field.name for field in table.schema] == ["id", "material", "timestamp", "more"]
    table.schema = [
        *table.schema[:3],
        bq.SchemaField(
            "more", "RECORD", "REPEATED", fields=[bq.SchemaField("x", "FLOAT64"), bq.SchemaField("y", "STRING")]
        ),
    ]
    table = bigquery_client.update_table(table, ["schema"])
    assert bigquery_client.insert_rows_json(table, [{"material": "oak", "more": [{"x": 1.5, "y": "z"}]}]) == []
    assert [row.values() for row in bigquery_client.list_rows(table)] == [
        (1, None, None, []),
        (None, "oak", None, [{"x": 1.5, "y": "z"}]),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        [bq.SchemaField("id", "STRING", "REQUIRED"), *SCHEMA[1:]],
        SCHEMA[:2],
        [*SCHEMA, bq.SchemaField("new", "STRING", "REQUIRED")],
        [SCHEMA[0], bq.SchemaField("material", "STRING", "REQUIRED"), SCHEMA[2]],
    ],
    ids=["another type", "a column less", "a required column", "no longer nullable"],
)
def test_other_changes_of_a_schema_are_refused(
    bigquery_client: bq.Client, dataset: str, schema: list[bq.SchemaField]
) -> None:
    table = bigquery_client.create_table(_table(dataset))
    table.schema = schema
    with pytest.raises(BadRequest, match="Provided Schema does not match"):
        bigquery_client.update_table(table, ["schema"])
    assert len(bigquery_client.get_table(table).schema) == len(SCHEMA)


def test_a_change_is_made_whole_or_not_at_all(bigquery_client: bq.Client, dataset: str) -> None:
    table = bigquery_client.create_table(_table(dataset))
    table.schema = [*SCHEMA, bq.SchemaField("new", "STRING")]
    table.clustering_fields = ["missing"]
    with pytest.raises(BadRequest, match="missing"):
        bigquery_client.update_table(table, ["schema", "clustering_fields"])
    assert len(bigquery_client.get_table(table).schema) == len(SCHEMA)
    table.clustering_fields = ["new"]
    assert len(bigquery_client.update_table(table, ["schema", "clustering_fields"]).schema) == len(SCHEMA) + 1


# https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/patch takes If-Match, as each Google API with etags does
def test_a_change_made_on_an_old_version_is_refused(bigquery_client: bq.Client, dataset: str) -> None:
    first = bigquery_client.create_table(_table(dataset))
    second = bigquery_client.get_table(first)
    first.description = "of the first"
    first = bigquery_client.update_table(first, ["description"])
    bigquery_client.query_and_wait(f"INSERT INTO `{first}` (id) VALUES (1)")
    first.friendly_name = "rows that came did not make it another version"
    bigquery_client.update_table(first, ["friendly_name"])
    second.description = "of the second"
    with pytest.raises(PreconditionFailed):
        bigquery_client.update_table(second, ["description"])
    assert bigquery_client.get_table(first).description == "of the first"


# https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list
def test_rows_are_listed_in_pages(bigquery_client: bq.Client, dataset: str) -> None:
    table = bigquery_client.create_table(_table(dataset))
    assert bigquery_client.insert_rows_json(table, [{"id": number} for number in range(25)]) == []
    pages = bigquery_client.list_rows(table, page_size=10).pages
    assert [[row["id"] for row in page] for page in pages] == [[*range(10)], [*range(10, 20)], [*range(20, 25)]]
    assert [row["id"] for row in bigquery_client.list_rows(table, max_results=3, start_index=20)] == [20, 21, 22]
    assert [dict(row) for row in bigquery_client.list_rows(table, selected_fields=SCHEMA[:1], max_results=1)] == [
        {"id": 0}
    ]
