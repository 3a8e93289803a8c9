"""A server that is not installed: a visible skip on a person's machine, a failure in CI."""

import os
from typing import NoReturn

import pytest


def missing(reason: object) -> NoReturn:
    """Skip, or fail where the environment has ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))  # a person may lack a server; CI, above, may not
