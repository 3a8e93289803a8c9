"""What may be counted."""

import re
from collections.abc import Mapping
from functools import lru_cache

MOST_UNITS = 32
"""Of one write."""
MOST = 1e18
"""Of one unit, by one write: so that years of them can be added up."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z0-9_]{1,63}){0,2}")


@lru_cache(maxsize=512)
def is_name(name: object) -> bool:
    """Whether a unit may be called so: a word, or the service's type, perhaps a class of storage, and a word."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def checked(amounts: Mapping[str, float]) -> dict[str, float]:
    """The same as plain numbers; raises ValueError or TypeError for what cannot be added up."""
    if len(amounts) > MOST_UNITS:
        raise ValueError(f"{len(amounts)} units, and {MOST_UNITS} are the most")
    found = {}
    for unit, amount in amounts.items():
        if not is_name(unit):
            raise ValueError(f"{unit!r:.80} is no name of a unit; write one like aws_s3.put_requests")
        number = float(amount)
        if not 0 <= number <= MOST:
            raise ValueError(f"{amount} {unit} is no amount")
        found[unit] = number
    return found
