"""Waiting for what another thread or process brings about."""

from collections.abc import Callable

import anyio


async def eventually(condition: Callable[[], object], *, within: float = 10.0) -> None:
    """Return once the condition holds; raise TimeoutError after `within` seconds."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - other threads set no event of this loop
            await anyio.sleep(0.005)
