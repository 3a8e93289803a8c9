"""A sink that keeps scans as files under a folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from anyio import to_thread
from pydantic import Field

from scribe_connectors.file._errors import classify
from scribe_connectors.file._folder import TEMPORARY, Folder, tag_of
from scribe_export.archives.form import Object
from scribe_export.archives.sink import Found, ObjectOptions, ObjectSink
from scribe_export.errors import Misconfigured, Rejected, SinkError
from scribe_export.interface import Context
from scribe_export.model import Encoded, Request
from scribe_export.options import Options

# https://man7.org/linux/man-pages/man3/pathconf.3.html: NAME_MAX, and PATH_MAX with room for the folder
MAX_NAME = 255
MAX_PATH = 3072


class FileSinkOptions(ObjectOptions):
    """Files under a folder, for people and programs to read: the umask decides who may."""

    directory: str = Field(min_length=1)
    """The folder; made if its parent exists. Relative to the config's own."""

    def place(self) -> str:
        """Two destinations must not have the same."""
        return os.path.normpath(f"{self.directory}/{self.key}")


class FileSink(ObjectSink):
    """Writes each file whole, synced with its folder, and never over another.

    Its modification time is when the scan was journalled. Files carry no metadata: one that stands there already is
    read and compared.
    """

    options_type: ClassVar[type[Options]] = FileSinkOptions
    options: FileSinkOptions

    def __init__(self, options: FileSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        self._folder = Folder(Path(context.folder).resolve() / options.directory)

    async def open(self) -> None:
        try:
            await to_thread.run_sync(self._folder.open)
        except OSError as error:
            raise classify(error) or Misconfigured(str(error)) from error

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        return [
            Request("create", str(self._folder.root / item.key), {}, item.data, item.members)
            for item in encoded.payload
        ]

    def check_key(self, key: str) -> None:
        parts = key.split("/")
        if parts[0] == TEMPORARY:
            raise Rejected(f"{TEMPORARY} is the folder of unfinished files", kind="name")
        if any(len(part) > MAX_NAME for part in parts):
            raise Rejected(f"a file's name must not be longer than {MAX_NAME} bytes: {key:.80}…", kind="name")
        if len(key) > MAX_PATH:
            raise Rejected(f"a file's path must not be longer than {MAX_PATH} bytes: {key:.80}…", kind="name")

    def create(self, key: str, item: Object) -> str | None:
        found = self._folder.create(key, item.data, item.order[0])
        return None if found is None else tag_of(found)

    def stat(self, key: str) -> Found | None:
        found = self._folder.stat(key)
        if found is None:
            return None
        return Found(tag_of(found), found.st_size, order=(round(found.st_mtime_ns / 1e9, 6), 0))

    def read(self, key: str, found: Found) -> bytes | None:
        content = self._folder.read(key)
        return content[0] if content and content[1] == found.tag else None

    def replace(self, item: Object, found: Found) -> str | None:
        stored = self._folder.replace(item.key, item.data, item.order[0], found.tag)
        return None if stored is None else tag_of(stored)

    def confirm(self, key: str) -> None:
        self._folder.sync(key)

    def location(self, key: str) -> Mapping[str, str]:
        return {"uri": f"{self._folder.root.as_uri()}/{quote(key)}", "key": key}

    def classify(self, error: Exception) -> SinkError | None:
        return classify(error)
