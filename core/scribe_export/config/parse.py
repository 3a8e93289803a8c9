"""From the file's bytes to its tree: plain YAML only, every key once."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from scribe_export.config.scalars import ambiguous, resolve
from scribe_export.config.tree import Branch, Findings, Items, Leaf, Node, Place

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
_TOP = Place(1, 1, "")
_RULE = re.compile(r"""(^|[\s{,])["']?when["']?\s*:""")
_QUOTE_RULE = "quote the whole rule, like when: 'confidence >= 0.8'"
_QUOTE_REFERENCE = "inside braces, ${NAME} must be in quotes"
_CHECK = "check the indentation, and put text with special characters in quotes"
_QUOTE_TEXT = "if this is text, put it in quotes"


class _TooDeep(Exception):
    pass


def parse(raw: bytes, found: Findings) -> Branch | None:
    """The tree of a file, or None if nothing can be made of it; what is wrong goes into `found`."""
    text = _decoded(raw, found)
    if text is None:
        return None
    reader = _Reader(text, found)
    try:
        root = reader.document()
    except yaml.YAMLError as error:
        reader.syntax(error)
        return None
    except _TooDeep:
        found.add(_TOP, f"nested deeper than {MAX_DEPTH} levels")
        return None
    if root is None:
        found.add(_TOP, "the file is empty; `scribe-export init` writes one to start from")
    elif not isinstance(root, Branch):
        found.add(root.place, "the file must hold options by name, like `destinations:`")
    return root if isinstance(root, Branch) else None


def _decoded(raw: bytes, found: Findings) -> str | None:
    if len(raw) > MAX_BYTES:
        found.add(_TOP, f"the file has {len(raw)} bytes, more than the {MAX_BYTES} of any sensible configuration")
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        found.add(Place(line, column, ""), "not UTF-8; save the file in that encoding")
        return None


class _Reader:
    def __init__(self, text: str, found: Findings) -> None:
        self._lines = text.split("\n")
        self._found = found
        # libyaml where PyYAML was built with it; both are checked by the same events.
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._found.add(self._place(event, ""), "a second document; the file holds one, without `---`")
                    return root
                root = self._node(next(self._events), None, "", 0)
        return root

    def syntax(self, error: yaml.YAMLError) -> None:
        """Say where YAML gave up, never quoting the line: it may hold a secret."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line, mark.column) if mark else self._unreadable()
        problem = getattr(error, "problem", None) or "a character that YAML does not allow"
        found = self._lines[line] if line < len(self._lines) else ""
        reference = "${" in found and "{" in found.partition("${")[0]
        hint = _QUOTE_REFERENCE if reference else _QUOTE_RULE if _RULE.search(found) else _CHECK
        if "\t" in found[: len(found) - len(found.lstrip())]:
            hint = "indent with spaces, not with tabs"
        elif not found.strip():
            hint = "a bracket or a quote is left open above"
        self._found.add(Place(line + 1, column + 1, ""), f"not YAML: {problem}; {hint}")

    def _unreadable(self) -> tuple[int, int]:
        for number, line in enumerate(self._lines):
            for column, char in enumerate(line):
                if not (char.isprintable() or char in "\t\r"):
                    return number, column
        return 0, 0

    def _place(self, event: Any, path: str) -> Place:
        return Place(event.start_mark.line + 1, event.start_mark.column + 1, path)

    def _node(self, event: Any, key: Place | None, path: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _TooDeep
        place = self._place(event, path)
        key = key or place
        broken = self._refused(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return Branch(key, place, self._entries(path, depth))
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(key, place, tuple(self._items(path, depth)))
        if isinstance(event, yaml.AliasEvent) or broken:
            return Leaf(key, place, None, broken=True)
        if event.style or not event.implicit[0]:
            return Leaf(key, place, event.value, event.style or "")
        if ambiguous(event.value):
            self._found.add(place, "a number with a leading zero; quote it if it is text, else leave the zeros out")
            return Leaf(key, place, None, broken=True)
        return Leaf(key, place, resolve(event.value))

    def _refused(self, event: Any, place: Place) -> bool:
        is_rule = place.path.endswith(".when")
        hint = _QUOTE_RULE if is_rule else _QUOTE_TEXT
        if isinstance(event, yaml.AliasEvent):
            self._found.add(place, f"starts with *, which YAML reads as an alias, and aliases are refused; {hint}")
        elif getattr(event, "anchor", None):
            self._found.add(place, f"starts with &, which YAML reads as an anchor, and anchors are refused; {hint}")
        elif getattr(event, "tag", None):
            self._found.add(place, f"starts with !, which YAML reads as a tag, and tags are refused; {hint}")
        else:
            return False
        return True

    def _entries(self, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._found.add(self._place(event, path), f"a name must be text here; {_QUOTE_TEXT}")
                self._skip(event, path, depth)
                continue
            name = event.value
            key = self._place(event, f"{path}.{name}" if path else name)
            self._refused(event, key)
            node = self._node(next(self._events), key, key.path, depth + 1)
            if name in entries:
                first = entries[name].key
                self._found.add(key, f"given twice, first on line {first.line}")
            else:
                entries[name] = node
        return entries

    def _skip(self, event: Any, path: str, depth: int) -> None:
        self._node(event, None, path, depth + 1)
        self._node(next(self._events), None, path, depth + 1)

    def _items(self, path: str, depth: int) -> Iterator[Node]:
        number = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, None, f"{path}[{number}]", depth + 1)
            number += 1
