"""A sink from nothing but a function."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio.to_thread

from scribe_export.interface import Sink
from scribe_export.model import BatchLimits, Encoded, Record

SinkFunction = Callable[[Sequence[Record]], Awaitable[None] | None]
"""Takes the records of one batch. Returning acks them all; it may raise `SinkError`s. The same may come again."""


def sink_of(function: SinkFunction, batches: BatchLimits) -> type[Sink]:
    """A `Sink` class around a function; a plain one runs in a worker thread, an async one where it is."""
    if not callable(function):
        raise TypeError(f"{function!r} is neither a Sink class nor a function")
    target: Any = function.func if isinstance(function, partial) else function
    is_async = inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004 - asks whether the method is async, not whether it is there
    call: Any = function

    class FunctionSink(Sink):
        limits = batches

        async def write(self, encoded: Encoded) -> str | None:
            records = encoded.batch.records
            if is_async:
                await call(records)
            else:
                await anyio.to_thread.run_sync(call, records)
            return None

    FunctionSink.__name__ = FunctionSink.__qualname__ = getattr(target, "__name__", type(target).__name__)
    FunctionSink.__doc__ = inspect.getdoc(target)
    return FunctionSink
