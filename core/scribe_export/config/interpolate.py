"""``${NAME}``, ``${NAME:-default}``, ``${file:PATH}`` and ``$${``, in text and after parsing.

What is put in is never read for references again. A default stands in for a variable that is unset or empty, as in a
shell. Of a file's content one newline at the end is left out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scribe_export.config.tree import Branch, Findings, Items, Leaf, Node

MAX_FILE_BYTES = 64 * 1024
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class _Unset(Exception):
    pass


def interpolated(node: Node, folder: Path, environ: Mapping[str, str], found: Findings) -> Node:
    """The tree with its references replaced; `folder` is where relative paths of files start."""
    if isinstance(node, Branch):
        entries = {name: interpolated(child, folder, environ, found) for name, child in node.entries.items()}
        return replace(node, entries=entries)
    if isinstance(node, Items):
        return replace(node, items=tuple(interpolated(child, folder, environ, found) for child in node.items))
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    return _leaf(node, node.value, folder, environ, found)


def _leaf(leaf: Leaf, text: str, folder: Path, environ: Mapping[str, str], found: Findings) -> Leaf:
    references: list[tuple[str, str]] = []
    broken = False

    def put(match: re.Match[str]) -> str:
        nonlocal broken
        if match[0] == "$${":
            return "${"
        try:
            value = _value(match[1], folder, environ)
        except _Unset as error:
            found.add(leaf.place, str(error))
            broken = True
            return ""
        references.append((match[0], value))
        return value

    value = _REFERENCE.sub(put, text)
    return replace(leaf, value=value, references=tuple(references), broken=broken)


def _value(reference: str | None, folder: Path, environ: Mapping[str, str]) -> str:
    if reference is None:
        raise _Unset("${ without its }; write $${ for the characters themselves")
    if reference.startswith("file:"):
        return _file(reference.removeprefix("file:"), folder)
    match = _NAME.fullmatch(reference)
    if not match:
        raise _Unset(
            f"${{{reference}}} is no reference; write ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}, "
            "and $${ for the characters themselves"
        )
    name, default = match[1], match[2]
    value = environ.get(name)
    if value:
        return value
    if default is not None:
        return default
    if value is None:
        raise _Unset(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return value


def _file(path: str, folder: Path) -> str:
    where = folder / path
    try:
        with where.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _Unset(f"cannot read the file {where}: {reason}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise _Unset(f"the file {where} is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unset(f"the file {where} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
