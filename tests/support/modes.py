"""A proxy's failure as a context."""

from collections.abc import Iterator
from contextlib import contextmanager

from scribe_local.proxy import Mode, Proxy


@contextmanager
def holding(proxy: Proxy, mode: Mode) -> Iterator[None]:
    """The mode holds within the block, and everything passes after it."""
    proxy.set(mode)
    try:
        yield
    finally:
        proxy.set(Mode.PASS)
