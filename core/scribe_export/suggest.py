"""The nearest known name to one that is unknown."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` , did you mean "bucket"?`` or, with nothing near, ``; known are a, b``."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f', did you mean "{near[0]}"?'
    return f"; known are {', '.join(names)}" if names else "; none is known here"
