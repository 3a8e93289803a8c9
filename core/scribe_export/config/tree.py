"""The operator's file as a tree whose every key and value knows its place."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from scribe_export.errors import ConfigError, Problem

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column count from 1, `path` is dotted."""

    line: int
    column: int
    path: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value. `key` is the place of its name, `place` its own.

    `style` is YAML's: empty for a plain one, else the quote or ``|`` or ``>``. `references` holds what interpolation
    put in, each with its reference. A `broken` leaf has been complained about: no check looks at it again.
    """

    key: Place
    place: Place
    value: Value
    style: str = ""
    references: tuple[tuple[str, str], ...] = ()
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """Named values, in the file's order."""

    key: Place
    place: Place
    entries: dict[str, "Node"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    key: Place
    place: Place
    items: tuple["Node", ...] = ()


Node = Leaf | Branch | Items


class Findings:
    """Collects every problem of one file, each once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: dict[Problem, None] = {}

    def add(self, place: Place, message: str, *, path: str | None = None) -> None:
        """Note a problem; `path` where it differs from the place's own (something that is missing)."""
        problem = Problem(self.file, place.line, place.column, place.path if path is None else path, message)
        self._problems[problem] = None

    def __bool__(self) -> bool:
        return bool(self._problems)

    def error(self) -> ConfigError:
        """All of them."""
        return ConfigError(self._problems)


def branch(node: Node | None) -> Branch | None:
    """The node, if it is a mapping."""
    return node if isinstance(node, Branch) else None


def text_of(node: Node | None) -> str | None:
    """The value, if it is text that nothing is known to be wrong with."""
    return node.value if isinstance(node, Leaf) and isinstance(node.value, str) and not node.broken else None


def leaves(node: Node) -> Iterator[Leaf]:
    """Every leaf below a node, or itself."""
    if isinstance(node, Leaf):
        yield node
    else:
        for child in node.entries.values() if isinstance(node, Branch) else node.items:
            yield from leaves(child)


def plain(node: Node) -> Any:
    """The same as JSON-like Python values."""
    if isinstance(node, Leaf):
        return node.value
    if isinstance(node, Branch):
        return {name: plain(child) for name, child in node.entries.items()}
    return [plain(child) for child in node.items]


def retyped(node: Node, values: dict[Place, Value]) -> Node:
    """The tree with the leaves at some places given other values."""
    if isinstance(node, Leaf):
        return replace(node, value=values[node.place]) if node.place in values else node
    if isinstance(node, Branch):
        return replace(node, entries={name: retyped(child, values) for name, child in node.entries.items()})
    return replace(node, items=tuple(retyped(child, values) for child in node.items))


def places(node: Node) -> dict[str, Place]:
    """Dotted path to the place of its key, for everything in the tree."""
    found = {node.key.path: node.key}
    if isinstance(node, Branch):
        for child in node.entries.values():
            found |= places(child)
    elif isinstance(node, Items):
        for child in node.items:
            found |= places(child)
    return found
