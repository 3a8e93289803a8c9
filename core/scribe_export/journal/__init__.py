"""The journal: where a scan is safe from the moment it is acknowledged until every destination has confirmed it.

`schema` says what is kept, `database` holds the one connection, and each other module is one thing that may happen to
the ledger, as functions on a `Database` inside a transaction: `ingest`, `seal`, `settle`, `dead`, `collect` and so on.
`store` runs them in the store thread and commits them in groups.
"""
