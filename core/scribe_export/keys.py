"""Names of objects and files, from a template of known fields.

Only ``{field}`` and, for the timestamp, ``{timestamp:%Y/%m/%d}`` are understood. Values are made safe for a path: of them
``A-Z a-z 0-9 . _ -`` stay, every other byte of their UTF-8 becomes ``~XX``, and a value of dots alone is escaped whole,
so two different values never meet and none leaves its folder. A field that the scan lacks is written ``unknown``.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

from scribe_export.key_parting import partings
from scribe_export.model import Record

FIELDS = frozenset(
    {
        "scan_id",
        "batch_id",
        "timestamp",
        "material",
        "signal_type",
        "frequency",
        "confidence",
        "source",
        "sha256",
        "ext",
    }
)
_UNSAFE = re.compile(rb"[^A-Za-z0-9._-]")
_STRFTIME = re.compile(r"[^%{}]|%[aAbBdHIjmMpSUwWyYfG%uV]")


def path_safe(value: str) -> str:
    """`value` as one path segment; reversible and free of collisions."""
    raw = value.encode("utf-8", "surrogatepass")
    if not raw.strip(b"."):
        return "".join(f"~{byte:02X}" for byte in raw) or "~"
    return _UNSAFE.sub(lambda match: b"~%02X" % match[0][0], raw).decode("ascii")


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A checked template. `per_record` tells one object a scan from one a batch; `partings` has for each part the
    character that its value does not hold."""

    text: str
    parts: tuple[tuple[str, str, str], ...]
    per_record: bool
    partings: tuple[str, ...]

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str) -> "KeyTemplate":
        """Check a template; raise ValueError with what to do."""
        parts = tuple(split(text))
        names = [name for _, name, _ in parts if name]
        if not parts or not parts[0][0] or parts[0][0].startswith("/"):
            raise ValueError("must start with a fixed prefix, like scans/, and not with / or a field")
        if any(segment in {".", ".."} for segment in text.split("/")):
            raise ValueError("must not hold . or .. as a folder")
        if any(ord(char) < 32 or char == "\\" for char in text):
            raise ValueError("must not hold control characters or backslashes")
        if ("scan_id" in names) == ("batch_id" in names):
            raise ValueError("needs {scan_id} for one object a scan or {batch_id} for one a batch, and not both")
        if "batch_id" in names and "sha256" in names:
            raise ValueError("{sha256} belongs to one scan, and {batch_id} names many")
        return cls(text, parts, "scan_id" in names, partings(parts))

    @property
    def prefix(self) -> str:
        """What all keys start with."""
        return self.parts[0][0]

    def render(self, record: Record, *, ext: str = "json") -> str:
        """The key of a record, or, with ``{batch_id}`` left in it, of its batch. Raises `Rejected`."""
        return "".join(
            literal + _parted(self._value(name, spec, record, ext), parting)
            for (literal, name, spec), parting in zip(self.parts, self.partings, strict=True)
        )

    def _value(self, name: str, spec: str, record: Record, ext: str) -> str:
        if not name or name == "batch_id":
            return name and "{batch_id}"
        if name == "ext":
            return ext
        if name == "timestamp":
            # A slash in the pattern separates folders, so the pieces between are made safe one by one.
            moment = record.timestamp
            return "/".join(path_safe(moment.strftime(piece)) for piece in (spec or "%Y-%m-%dT%H-%M-%SZ").split("/"))
        if name in {"scan_id", "source", "sha256"}:
            text = str(getattr(record, name))
            # "~v" is nothing that path_safe makes, so a version meets no other scan's id.
            versioned = name == "scan_id" and record.version > 1
            return path_safe(text) + (f"~v{record.sha256[:12]}" if versioned else "")
        value = getattr(record.fields, name)
        if isinstance(value, float):
            return path_safe(str(value).removesuffix(".0"))
        return path_safe("unknown" if value is None else str(value))


def _parted(value: str, parting: str) -> str:
    return value.replace(parting, f"~{ord(parting):02X}") if parting else value


def split(text: str) -> list[tuple[str, str, str]]:
    """Literal, field and pattern, each part in turn; raise ValueError with what to do."""
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{error}; write {{field}}, and {{{{ for a brace itself") from None
    parts = []
    for literal, name, spec, conversion in pieces:
        if name is not None and (name not in FIELDS or conversion):
            raise ValueError(f"unknown field {{{name}}}; known are {', '.join(sorted(FIELDS))}")
        if spec and (name != "timestamp" or _STRFTIME.sub("", spec)):
            raise ValueError(
                f"only {{timestamp:%Y/%m/%d}} takes a pattern, of strftime's letters; not {{{name}:{spec}}}"
            )
        if "{" in literal or "}" in literal:
            raise ValueError("must not hold braces but around a field")
        parts.append((literal, name or "", spec or ""))
    return parts
