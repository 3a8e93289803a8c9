"""BigQuery on one machine: its REST API and its Storage Write API over DuckDB, for the genuine clients.

Run it with ``python -m scribe_local.bigquery``, or start it with `scribe_local.servers.bigquery`. What it holds to is
in tests/integration/test_bigquery_server*.py, each expectation beside the page of the real service that states it. What
it does not know it refuses with a sentence that says so; it never ignores an option that would change what is stored.
"""
