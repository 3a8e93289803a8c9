"""The cache-aside pattern: look here first, and put here what the service answered."""

import threading
from collections.abc import Hashable
from typing import Any

from cachetools import TTLCache

from scribe_export.clock import Clock, SystemClock


class CacheAside:
    """Values by key, each for `ttl` seconds after it was set; beyond `max_entries` the least recently used one leaves.

    With `ttl` 0 nothing is kept. None means "not here", so None itself is not worth setting. Thread-safe.
    """

    def __init__(self, ttl: float = 300.0, *, max_entries: int = 1024, clock: Clock | None = None) -> None:
        """Raise ValueError for a setting that makes no sense."""
        if not ttl >= 0 or max_entries < 1:
            raise ValueError("ttl must not be negative and max_entries must be at least 1")
        self.ttl = ttl
        self._lock = threading.Lock()
        self._entries: TTLCache[Hashable, Any] = TTLCache(max_entries, ttl, timer=(clock or SystemClock()).monotonic)

    def get(self, key: Hashable) -> Any | None:
        """The value, or None if there is none or its time is over."""
        with self._lock:
            return self._entries.get(key)

    def set(self, key: Hashable, value: Any) -> None:
        """Keep a value from now on for `ttl` seconds."""
        with self._lock:
            self._entries[key] = value

    def invalidate(self, key: Hashable) -> None:
        """Forget a value; nothing happens if there is none."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
