"""Errors of task groups, as those who called expect them."""

from collections.abc import Iterator
from contextlib import contextmanager

from scribe_export.errors import JournalUnusable


@contextmanager
def plain_errors() -> Iterator[None]:
    """The error of one task is raised as itself, not as a group of one; several stay a group.

    A journal that cannot be used fails every task that needs it, and is one error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        unusable = [error for error in errors if isinstance(error, JournalUnusable)]
        if len(errors) > 1 and unusable:
            raise unusable[0] from group
        if len(errors) > 1:
            raise
        raise errors[0] from errors[0].__cause__


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
