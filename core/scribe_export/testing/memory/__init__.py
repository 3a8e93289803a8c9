"""A sink, a source and a scanner whose services live in this process: honest, and made to fail by switches."""

from scribe_export.testing.memory.scanner import MemoryInstrument, MemoryScanner
from scribe_export.testing.memory.sink import MemoryDestination, MemoryService, MemorySink, MemorySinkOptions
from scribe_export.testing.memory.source import MemoryFeed, MemorySource, MemorySourceOptions

__all__ = [
    "MemoryDestination",
    "MemoryFeed",
    "MemoryInstrument",
    "MemoryScanner",
    "MemoryService",
    "MemorySink",
    "MemorySinkOptions",
    "MemorySource",
    "MemorySourceOptions",
]
