"""A dead letter as a document of its own, for the destination that keeps what others could not take."""

import hashlib
from typing import Any

import msgspec

from scribe_export.journal.fates import Grave
from scribe_export.scan import MAX_ID_LENGTH

_SHORT = 12


def dead_letter(grave: Grave, source: str, origin: str) -> bytes:
    """``{"scan_id", "source", "origin", "dead_letters": [{"destination", "class", "error"}], "body"}``.

    `body` is the text as it came, or `body_hex` where that is no UTF-8. The id is that of what is dead, with the
    beginning of the SHA-256 of all the rest: no letter is taken for another, and the same one again is known.
    """
    document: dict[str, Any] = {
        "source": source,
        "origin": origin,
        "dead_letters": [
            {"destination": letter.destination, "class": letter.kind, "error": letter.error} for letter in grave.letters
        ],
    }
    try:
        document["body"] = grave.body.decode()
    except UnicodeDecodeError:
        document["body_hex"] = grave.body.hex()
    digest = hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:_SHORT]
    own = grave.letters[0].scan_id[: MAX_ID_LENGTH - _SHORT - 1]
    return msgspec.json.encode({"scan_id": f"{own}.{digest}", **document})
