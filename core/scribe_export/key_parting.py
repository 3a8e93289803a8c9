"""What keeps a scan's id apart from the other values in its part of a key.

``{material}-{scan_id}`` would name the scans "x" of pine-oak and "oak-x" of pine alike. So the values beside the id, in
the same folder's or file's name, do not hold the character that parts them from it: it is escaped in them. Moments,
digests and extensions are told apart by their form.
"""

from collections.abc import Iterator, Sequence

Part = tuple[str, str, str]
"""Literal, the field behind it, and its pattern, as `keys.split` gives them."""
_FORMED = frozenset({"timestamp", "sha256", "ext", "batch_id"})


def partings(parts: Sequence[Part]) -> tuple[str, ...]:
    """For each part the character that its field's value must not hold, empty where it may hold any.

    Raises ValueError, with what to do, where nothing parts a value from the id.
    """
    found = [""] * len(parts)
    for segment in _segments(parts):
        names = [parts[place][1] if place >= 0 else "" for place, _ in segment]
        if "scan_id" not in names:
            continue
        at = names.index("scan_id")
        for way in (segment[at + 1 :], segment[:at][::-1]):
            between = ""
            for place, literal in way:
                if place < 0:
                    between += literal
                elif parts[place][1] not in _FORMED:
                    found[place] = _parting(between, parts[place][1])
                    between = ""
    return tuple(found)


def _parting(between: str, name: str) -> str:
    # No letter, digit or ~, for a value may be nothing but these once it is made safe for a path.
    parting = next((char for char in between if not (char.isascii() and char.isalnum()) and char != "~"), "")
    if not parting:
        raise ValueError(
            f"two scans could have one key: put a - or a / between {{{name}}} and what stands beside it, or leave it out"
        )
    return parting


def _segments(parts: Sequence[Part]) -> Iterator[list[tuple[int, str]]]:
    """What lies between slashes: literals, with the place -1, and fields, each with its place in `parts`."""
    segment: list[tuple[int, str]] = []
    for place, (literal, name, spec) in enumerate(parts):
        first, *others = literal.split("/")
        segment.append((-1, first))
        for other in others:
            yield segment
            segment = [(-1, other)]
        if name:
            segment.append((place, ""))
        if "/" in spec:
            yield segment
            segment = []
    yield segment
