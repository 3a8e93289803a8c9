"""What the JSON decoder does not look at, and what no scan may be: other text than UTF-8, endless nesting, two ids."""

import codecs
import json
import re
from itertools import accumulate
from typing import Any

from scribe_export.errors import InvalidScan

MAX_DEPTH = 512
"""Levels of arrays and objects in a scan: below what Python's own decoders can go down to, wherever they are called."""
_ID = b'"scan_id"'
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LETTER_ESCAPED = re.compile(rb"\\u00[567]")
_NOT_LEVELS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_AS_BRACKETS = bytes.maketrans(b"{}", b"[]")
_AS_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u(?:[dD][89abAB]..(?!\\u[dD][c-fC-F])|[dD][c-fC-F]..(?<!\\u[dD][89abAB]..\\u....))"
)


def check_text(body: bytes) -> None:
    """Raise `InvalidScan` for what is not UTF-8: the decoder passes over text that nobody asks for."""
    if body.isascii():
        return
    if body.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidScan("starts with a byte order mark; a scan is UTF-8 without one")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidScan(f"not UTF-8: {error.reason} at byte {error.start}") from None


def check_structure(body: bytes) -> None:
    """Raise `InvalidScan` for JSON, already decoded once, that is nested too deeply or names its `scan_id` twice."""
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise InvalidScan(f"nested deeper than {MAX_DEPTH} levels")
    if (body.count(_ID) != 1 or (b"\\u00" in body and _LETTER_ESCAPED.search(body))) and _ids(body) > 1:
        raise InvalidScan("scan_id stands in it more than once")


def why_no_json(body: bytes, error: Exception) -> str:
    """What is wrong with a body that the decoder refused."""
    if isinstance(error, RecursionError):
        return f"nested deeper than {MAX_DEPTH} levels"
    if not body.strip():
        return "empty"
    if _LONE_SURROGATE.search(body):
        return "not JSON that can be text: it holds half of a surrogate pair (\\ud800 to \\udfff)"
    return f"not JSON: {error}"


def _depth(body: bytes) -> int:
    # The innermost pairs, which are most of them, are taken away at once; what holds them is one level less deep then.
    brackets = _STRING.sub(b"", body).translate(_AS_BRACKETS, _NOT_LEVELS).replace(b"[]", b"")
    return 1 + max(accumulate(memoryview(brackets.translate(_AS_STEPS)).cast("b")), default=0)


def _ids(body: bytes) -> int:
    """How often the document itself, and not what lies in it, names a scan_id."""
    outermost: list[tuple[str, Any]] = []

    def close(pairs: list[tuple[str, Any]]) -> None:
        nonlocal outermost
        outermost = pairs  # the outermost object is the last to end

    json.loads(body, object_pairs_hook=close, parse_int=_nothing, parse_float=_nothing)
    return sum(name == "scan_id" for name, _ in outermost)


def _nothing(_: str) -> None:
    """Values are of no interest, and may be millions."""
