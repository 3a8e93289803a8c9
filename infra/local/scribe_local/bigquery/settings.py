"""What tests may change while the server runs, by ``PATCH /_scribe/settings``; ``DELETE`` brings the defaults back."""

import threading
from typing import Any

import msgspec

from scribe_local.bigquery.refusals import invalid

# https://cloud.google.com/bigquery/quotas#load_jobs, 2026-08-22: 1,500 load jobs a table a day, failed ones included.
LOAD_JOBS_A_DAY = 1500

# https://cloud.google.com/bigquery/docs/streaming-data-into-bigquery#dataconsistency, 2026-08-22: "at least one minute".
INSERT_ID_SECONDS = 60.0


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Times are in seconds."""

    load_job_seconds: float = 0.0
    """How long each new load job stays RUNNING before it has any effect."""
    load_jobs_per_table_per_day: int = LOAD_JOBS_A_DAY
    """Further load jobs of a table fail with ``quotaExceeded``."""
    insert_id_seconds: float = INSERT_ID_SECONDS
    """How long insertAll remembers an insertId; 0 forgets it at once."""
    new_table_missing_seconds: float = 0.0
    """How long insertAll and the Storage Write API do not find a new table."""
    new_table_blackhole_seconds: float = 0.0
    """How long both accept rows for a new table, and lose them."""
    streaming_buffer_seconds: float = 60.0
    """How long rows of insertAll count as buffered: left out of a table's `numRows`, closed to UPDATE and DELETE."""


class LiveSettings:
    """The settings that hold now."""

    def __init__(self) -> None:
        self.now = Settings()
        self._lock = threading.Lock()

    def change(self, changes: dict[str, Any]) -> Settings:
        """Raises `Refused` for a setting that is not known or of another type."""
        with self._lock:
            try:
                self.now = msgspec.convert({**msgspec.structs.asdict(self.now), **changes}, Settings, strict=True)
            except msgspec.ValidationError as error:
                raise invalid(str(error)) from None
            return self.now

    def reset(self) -> Settings:
        """Bring the defaults back."""
        with self._lock:
            self.now = Settings()
            return self.now
