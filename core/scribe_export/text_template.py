"""Short texts made of a scan's fields: message groups, ordering keys, attributes.

The same fields as in keys, written as they are: what characters and length a service takes, its sink checks.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

from scribe_export.keys import split
from scribe_export.model import Record

_NOT_HERE = frozenset({"batch_id", "ext"})


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A checked template, such as ``{material}`` or ``oak-{scan_id}``."""

    parts: tuple[tuple[str, str, str], ...]

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> "TextTemplate":
        """Check a template; raise ValueError with what to do."""
        parts = tuple(split(text))
        if found := sorted(_NOT_HERE & {name for _, name, _ in parts}):
            raise ValueError(f"{{{found[0]}}} names objects and means nothing here")
        return cls(parts)

    def render(self, record: Record) -> str:
        """The text for a record; a field that it lacks is written ``unknown``. Raises `Rejected`."""
        return "".join(literal + _value(name, spec, record) for literal, name, spec in self.parts)


def _value(name: str, spec: str, record: Record) -> str:
    if not name:
        return ""
    if name == "timestamp":
        moment = record.timestamp
        return moment.strftime(spec) if spec else moment.isoformat().replace("+00:00", "Z")
    if name in {"scan_id", "source", "sha256"}:
        return str(getattr(record, name))
    value = getattr(record.fields, name)
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return "unknown" if value is None else str(value)


def _check(value: str) -> str:
    TextTemplate.parse(value)
    return value


Text = Annotated[str, AfterValidator(_check)]
"""In YAML: text with ``{field}`` in it."""
