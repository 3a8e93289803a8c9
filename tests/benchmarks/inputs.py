"""The scans that every program in a comparison is given, each in the form that it reads."""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scans import bodies

SCHEMA = {
    "type": "SCHEMA",
    "stream": "scans",
    "key_properties": ["scan_id"],
    "schema": {
        "type": "object",
        "properties": {
            "scan_id": {"type": "integer"},
            "timestamp": {"type": "string"},
            **{name: {"type": "object"} for name in ("config", "response", "features", "interpretation")},
        },
    },
}


class Inputs:
    """Files of scans under a folder, made when first asked for; no two scans share their audio."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._scans = bodies(most, seed=7, distinct=most)

    def lines(self, count: int) -> Path:
        """The folder of one file of JSON lines."""
        return self._made(f"lines-{count}/scans.jsonl", self._scans[:count]).parent

    def singer(self, count: int) -> Path:
        """Singer messages, as a tap would write them: a schema, the scans, a state."""
        return self._made(f"singer-{count}.jsonl", self._messages(count))

    def _messages(self, count: int) -> Iterator[bytes]:
        yield json.dumps(SCHEMA).encode()
        for body in self._scans[:count]:
            yield b'{"type":"RECORD","stream":"scans","record":' + body + b"}"
        yield b'{"type":"STATE","value":{"upto":%d}}' % count

    def _made(self, name: str, lines: Iterator[bytes] | list[bytes]) -> Path:
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path
