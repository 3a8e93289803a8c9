"""Tests of coroutines, each in an event loop of its own."""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import anyio

_P = ParamSpec("_P")


def in_loop(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Run an async test; its fixtures are those of its own arguments."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        anyio.run(main)

    return run
