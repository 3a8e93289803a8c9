"""How a test says that the integration guide's code fails as it is expected to, and not otherwise."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.guide_fails import FAILS


class Broken(AssertionError):
    """The guide's code ran to its end and did not do what it is for."""


def promised(kept: object, *, instead: str) -> None:
    """Raise `Broken`, saying what happened instead, unless the promise was kept."""
    if not kept:
        raise Broken(instead)


@contextmanager
def expected_failure(name: str) -> Iterator[None]:
    """The block fails just as `FAILS` has it: not otherwise, and not by failing no more."""
    failure = FAILS[name]
    # Whatever is raised is compared with the table.
    with pytest.raises(Exception) as caught:  # noqa: PT011
        yield
    assert caught.type.__name__ == failure.kind, f"{name}: {caught.value!r}"
    assert re.fullmatch(failure.says, str(caught.value)), f"{name}: {caught.value!r}"
