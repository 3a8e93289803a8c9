"""Folders of files: an archive to write to, and one to read from."""

from scribe_connectors.file.sink import FileSink, FileSinkOptions
from scribe_connectors.file.source import FileSource, FileSourceOptions

__all__ = ["FileSink", "FileSinkOptions", "FileSource", "FileSourceOptions"]
