"""What befalls rows that are streamed to a table just after its creation, when a test asks for it.

https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#troubleshooting and the threads
googleapis/python-bigquery#1331 and googleapis/google-cloud-go#975: not found at first, then accepted and lost.
"""

from scribe_local.bigquery.names import TableName
from scribe_local.bigquery.refusals import not_found
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.tables import Tables


def loses_rows(name: TableName, tables: Tables, settings: LiveSettings) -> bool:
    """Whether rows for it are accepted and lost now. Raises `Refused` while it is not found."""
    age = tables.age(name)
    if age < settings.now.new_table_missing_seconds:
        raise not_found(f"Table {name}")
    return age < settings.now.new_table_blackhole_seconds
