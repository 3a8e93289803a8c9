"""Tests of coroutines, each in an event loop of its own."""

import functools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import ParamSpec

import anyio

from scribe_export.testing.sealing import AnyConnector

_P = ParamSpec("_P")
_ending: ContextVar[AsyncExitStack] = ContextVar("ending")


def in_loop(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Run an async test; its fixtures are those of its own arguments."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def main() -> None:
            async with AsyncExitStack() as ending:
                _ending.set(ending)
                await test(*args, **kwargs)

        anyio.run(main)

    return run


def closed_after(connector: AnyConnector) -> AnyConnector:
    """The connector, which is closed when the `in_loop` test that asks for this is over, however it ends."""
    _ending.get().push_async_callback(connector.close)
    return connector
