"""An object store in memory whose every call can be told to fail."""

import threading
from collections.abc import Callable
from typing import Any

from scribe_export.archives.form import Object
from scribe_export.archives.sink import Found, ObjectOptions, ObjectSink
from scribe_export.errors import Misconfigured, SinkError
from scribe_export.interface import Context


class ShelfError(Exception):
    """A failure of the store; `becomes` is what the sink makes of it."""

    def __init__(self, becomes: SinkError) -> None:
        super().__init__(str(becomes))
        self.becomes = becomes


class Shelf(ObjectSink):
    options: ObjectOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(ObjectOptions.model_validate({"key": "scans/{scan_id}.json", **options}), Context("shelf"))
        self.held: dict[str, tuple[str, bytes, dict[str, str]]] = {}
        self.puts: list[str] = []
        self.before_create: Callable[[str], None] = lambda key: None
        self.readable = True
        self._lock = threading.Lock()

    def location(self, key: str) -> dict[str, str]:
        return {"uri": f"shelf:{key}", "key": key}

    def create(self, key: str, item: Object) -> str | None:
        with self._lock:
            self.puts.append(key)
        self.before_create(key)
        with self._lock:
            if key in self.held:
                return None
            return self._hold(key, item)

    def replace(self, item: Object, found: Found) -> str | None:
        with self._lock:
            if item.key not in self.held or self.held[item.key][0] != found.tag:
                return None
            return self._hold(item.key, item)

    def _hold(self, key: str, item: Object) -> str:
        tag = f"tag-{len(self.puts)}-{key}"
        self.held[key] = tag, item.data, dict(item.metadata)
        return tag

    def stat(self, key: str) -> Found | None:
        if not self.readable:
            raise ShelfError(Misconfigured("denied"))
        if key not in self.held:
            return None
        tag, data, metadata = self.held[key]
        return Found(tag, len(data), metadata)

    def read(self, key: str, found: Found) -> bytes | None:
        return self.held[key][1]

    def classify(self, error: Exception) -> SinkError | None:
        return error.becomes if isinstance(error, ShelfError) else None
