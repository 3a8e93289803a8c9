"""The operator's file: reading, checking, and what it says."""

from scribe_export.config.json_schema import schema
from scribe_export.config.loading import journal_quota, load, state_folder
from scribe_export.config.outer import Buffer
from scribe_export.config.result import Built, Config
from scribe_export.config.room import check_room
from scribe_export.config.template import starter

__all__ = ["Buffer", "Built", "Config", "check_room", "journal_quota", "load", "schema", "starter", "state_folder"]
