"""A batch as Redis commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scribe_connectors.redis._client import Command
from scribe_export.keys import KeyTemplate
from scribe_export.model import Record


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Packed commands, answered by so many replies. `members` are, for each of the first replies, the indexes of the
    records that it confirms; `keys` and `documents` are by index too."""

    kind: str
    method: str
    packed: tuple[bytes, ...]
    replies: int
    members: tuple[tuple[int, ...], ...]
    keys: Mapping[int, str]
    documents: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Commands:
    """What a batch becomes before it is packed; as `Pipeline`."""

    commands: Sequence[Command]
    members: tuple[tuple[int, ...], ...]
    keys: Mapping[int, str]

    @property
    def method(self) -> str:
        """The command that does the work."""
        return str(self.commands[0][0]) if self.commands else ""

    @property
    def replies(self) -> int:
        """How many will come."""
        return len(self.commands)


def commands(
    name: str, shape: Mapping[str, Any], records: Sequence[Record], documents: Mapping[int, bytes]
) -> Commands:
    """The commands that put `documents`, by the records' indexes, where `name` and a sealed `shape` say.

    A list takes a batch with one command, whole or not at all; the others take one command a record.
    """
    each = tuple((index,) for index in documents)
    match shape["kind"]:
        case "list":
            left = shape["push"] == "left"
            made: list[Command] = [("LPUSH" if left else "RPUSH", name, *documents.values())]
            if most := shape["max_length"]:
                made.append(("LTRIM", name, 0, most - 1) if left else ("LTRIM", name, -most, -1))
            return Commands(made if documents else [], (tuple(documents),), {})
        case "stream":
            trim = ("MAXLEN", "~", shape["max_length"]) if shape["max_length"] else ()
            fixed = ("XADD", name, *trim, "*", "scan_id")
            return Commands(
                [
                    (*fixed, records[i].scan_id, "sha256", records[i].sha256, shape["field"], document)
                    for i, document in documents.items()
                ],
                each,
                {},
            )
        case "channel":
            return Commands([("PUBLISH", name, document) for document in documents.values()], each, {})
        case _:
            template = KeyTemplate.parse(name)
            keys = {index: template.render(records[index]) for index in documents}
            expiry = ("PX", shape["ttl_ms"]) if shape["ttl_ms"] else ()
            return Commands(
                [("SET", keys[i], document, "NX", *expiry) for i, document in documents.items()], each, keys
            )
