"""How long fuzzing takes: the same few examples each time in `make test`, many new ones in `make faults`."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=()), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | texts
    | st.sampled_from(["", "\0", "\ud800", ".", "..", "a/b", "\r\n", "{0}", 10**4000, -0.0, 2**64])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
"""Whatever JSON's decoder in Python may give."""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, pieces: st.SearchStrategy[bytes]) -> bytes:
    """`whole` with some of it cut out and something put in, at a few places."""
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(whole))), draw(st.integers(0, 12))
        whole = whole[:start] + draw(pieces) + whole[start + length :]
    return whole


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """`document` with a few of its values, at any depth, replaced or left out."""
    for _ in range(draw(st.integers(1, 3))):
        document = _changed(draw, document)
    return document


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(values)
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        return [_changed(draw, one) if number == place else one for number, one in enumerate(value)]
    name = draw(st.sampled_from(sorted(value)))
    rest = {key: one for key, one in value.items() if key != name}
    return rest if draw(st.integers(0, 2)) == 0 else rest | {name: _changed(draw, value[name])}
