"""The secrets of this process, taken out of what others say: a service may repeat in its answer what it was sent."""

import json
from typing import TextIO

HIDDEN = "***"
LEAST = 8
"""Characters below which a secret is not told from an ordinary word."""
_known: dict[str, None] = {}


def remember(secret: str) -> None:
    """Keep this text out of every error and every line of the log from now on."""
    if len(secret) >= LEAST:
        # Longer forms go first: where one secret begins another, nothing of that one is left over.
        forms = {*_known, secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]}
        ordered = dict.fromkeys(sorted(forms, key=len, reverse=True))
        _known.clear()
        _known.update(ordered)


def redacted(text: str) -> str:
    """The text without any secret that is known, and without what cannot be stored: half a pair of surrogates, as in a
    service's JSON or in a file's name, is written as its escape."""
    if not text.isascii():
        text = text.encode(errors="backslashreplace").decode()
    for secret in _known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return text


class RedactingStream:
    """A stream for log lines that lets no secret through."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a line."""
        return self._stream.write(redacted(text))

    def flush(self) -> None:
        """Have it written."""
        self._stream.flush()
