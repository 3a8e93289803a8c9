"""SCRIBE's own SQLite database: ``type: scribe_database``, and `ScribeDatabase` for Python programs."""

from scribe_connectors.scribe.database_reader import LearningInsights, ScribeDatabase
from scribe_connectors.scribe.database_sink import ScribeDatabaseSink, ScribeDatabaseSinkOptions
from scribe_connectors.scribe.database_source import ScribeDatabaseSource, ScribeDatabaseSourceOptions

__all__ = [
    "LearningInsights",
    "ScribeDatabase",
    "ScribeDatabaseSink",
    "ScribeDatabaseSinkOptions",
    "ScribeDatabaseSource",
    "ScribeDatabaseSourceOptions",
]
