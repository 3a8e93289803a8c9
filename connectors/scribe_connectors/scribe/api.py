"""The connectors for the SCRIBE API: ``type: scribe_api``."""

from scribe_connectors.scribe.scanner import ScribeApiScanner
from scribe_connectors.scribe.source import ScribeApiSource

__all__ = ["ScribeApiScanner", "ScribeApiSource"]
