"""A dead letter as a document of its own, for the destination that keeps what others could not take."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from scribe_export.journal.dead import DeadLetter
from scribe_export.model import Incoming

_SHORT = 12
_INVALID = "sha256:"


def dead_letter(incoming: Incoming, letters: Sequence[DeadLetter], source: str) -> bytes:
    """``{"scan_id", "source", "origin", "dead_letters": [{"destination", "class", "error"}], "body"}``.

    `body` is the text as it came, or `body_hex` where that is no UTF-8. The id is the scan's with the beginning of the
    body's SHA-256, so that the same body dead again has the same id.
    """
    digest = hashlib.sha256(incoming.body).hexdigest()
    own = letters[0].scan_id
    document: dict[str, Any] = {
        "scan_id": f"{_INVALID}{digest}" if own.startswith(_INVALID) else f"{own}.{digest[:_SHORT]}",
        "source": source,
        "origin": incoming.origin,
        "dead_letters": [
            {"destination": letter.destination, "class": letter.kind, "error": letter.error} for letter in letters
        ],
    }
    try:
        document["body"] = incoming.body.decode()
    except UnicodeDecodeError:
        document["body_hex"] = incoming.body.hex()
    return msgspec.json.encode(document)
