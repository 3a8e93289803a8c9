"""The nearest known name to one that is unknown."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one that was probably meant, if any."""
    near = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to put behind "unknown": ``, did you mean "bucket"?`` or, with nothing near, ``; known are a, b``."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f', did you mean "{near}"?'
    return f"; known are {', '.join(names)}" if names else "; none is known here"
