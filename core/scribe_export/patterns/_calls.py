"""Telling plain functions from async ones, so that a coroutine is never taken for a result."""

import inspect
from collections.abc import Callable
from typing import Any


def refuse_async(func: Callable[..., Any], instead: str) -> None:
    """Raise TypeError if `func` is an async function, naming the method to use instead."""
    if inspect.iscoroutinefunction(func):
        name = getattr(func, "__qualname__", repr(func))
        raise TypeError(f"{name} is async: use `await {instead}({name}, ...)`")


def refuse_awaitable(result: Any, instead: str) -> None:
    """Raise TypeError if a plain function gave back an awaitable; a coroutine among them is closed."""
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(f"the function gave back an awaitable: use `await {instead}(...)`")
