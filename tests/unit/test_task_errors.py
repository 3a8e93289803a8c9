"""Errors of several tasks at once."""

import anyio
import pytest

from scribe_export.errors import JournalUnusable
from scribe_export.tasks import plain_errors


async def _failing(*errors: Exception) -> None:
    """Tasks that all fail in the same turn."""

    async def fail(error: Exception) -> None:
        raise error

    with plain_errors():
        async with anyio.create_task_group() as tasks:
            for error in errors:
                tasks.start_soon(fail, error)


def test_one_error_is_raised_as_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        anyio.run(_failing, ZeroDivisionError())


def test_several_stay_a_group() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        anyio.run(_failing, ZeroDivisionError(), KeyError("a"))
    assert len(raised.value.exceptions) == 2


@pytest.mark.parametrize("other", [JournalUnusable("the disk does not answer"), ConnectionError("reset")])
def test_a_journal_that_cannot_be_used_is_one_error_whatever_fails_with_it(other: Exception) -> None:
    with pytest.raises(JournalUnusable, match="does not answer"):
        anyio.run(_failing, JournalUnusable("the disk does not answer"), other)
