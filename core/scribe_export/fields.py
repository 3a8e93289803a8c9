"""What `fields:` leaves of a scan: dotted paths included, excluded and renamed, all else untouched.

Only the objects that a path goes through are decoded. Every value that stays keeps its own bytes, so numbers of any
length and precision leave as they came. A path through an array applies to each of its elements. Paths name fields by
the document's own names, also where a rename is asked for.
"""

from dataclasses import dataclass, field

import msgspec

from scribe_export.errors import Rejected
from scribe_export.options import FieldsOptions

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    included: bool = False
    excluded: bool = False
    name: str | None = None

    def at(self, path: str) -> "_Node":
        node = self
        for part in path.split("."):
            node = node.children.setdefault(part, _Node())
        return node


class Selection:
    """The paths of a `FieldsOptions`, ready to apply to many documents."""

    __slots__ = ("_all", "_root")

    def __init__(self, options: FieldsOptions) -> None:
        self._root = _Node()
        self._all = options.include is None
        for path in options.include or ():
            self._root.at(path).included = True
        for path in options.exclude:
            self._root.at(path).excluded = True
        for path, name in options.rename.items():
            self._root.at(path).name = name

    def keeps(self, path: str) -> bool:
        """Whether a value at this dotted path is left, under whatever name."""
        node, kept = self._root, self._all
        for part in path.split("."):
            child = node.children.get(part)
            if child is None:
                return kept
            if child.excluded:
                return False
            node, kept = child, kept or child.included
        return kept

    def apply(self, body: bytes) -> bytes:
        """The document's JSON with only what was selected, in its own order; the same bytes for the same body.

        Raises `Rejected`: of kind ``fields`` if a rename would cover another field, of kind ``invalid`` if the body is
        no JSON object.
        """
        try:
            return msgspec.json.encode(_shape_object(body, self._root, kept=self._all))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Rejected(f"not a JSON object: {error}", kind="invalid") from None


def _shape_object(raw: msgspec.Raw | bytes, node: _Node, *, kept: bool) -> dict[str, msgspec.Raw]:
    shaped: dict[str, msgspec.Raw] = {}
    for name, value in _object.decode(raw).items():
        child = node.children.get(name)
        if child is None:
            leaf = value if kept else None
        elif child.excluded:
            leaf = None
        else:
            leaf = _shape_value(value, child, kept=kept or child.included)
        if leaf is None:
            continue
        new = child.name if child and child.name else name
        if new in shaped:
            raise Rejected(f"fields: two fields would both be called {new!r}", kind="fields")
        shaped[new] = leaf
    return shaped


def _shape_value(raw: msgspec.Raw, node: _Node, *, kept: bool) -> msgspec.Raw | None:
    """None where nothing under a path that was not itself included is left."""
    text = bytes(raw).lstrip()
    if node.children and text.startswith(b"{"):
        inner = _shape_object(raw, node, kept=kept)
        return msgspec.Raw(msgspec.json.encode(inner)) if inner or kept else None
    if node.children and text.startswith(b"["):
        elements = [_shape_value(element, node, kept=kept) for element in _array.decode(raw)]
        left = [element for element in elements if element is not None]
        return msgspec.Raw(msgspec.json.encode(left)) if left or kept else None
    return raw if kept else None
