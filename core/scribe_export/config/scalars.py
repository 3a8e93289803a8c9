"""What an unquoted value means: YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

So ``NO``, ``12:30:45`` and ``2024-01-01`` are text, which YAML 1.1 reads as false, 45045 and a date. A number with a
leading zero is refused: the two versions disagree about its value.
"""

import re
from math import isfinite

from scribe_export.config.tree import Value

_WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_RADIX = re.compile(r"0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")


def resolve(text: str) -> Value:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and isfinite(number := float(text)):
        return number
    return text


def ambiguous(text: str) -> bool:
    """Whether versions of YAML read different numbers here."""
    return bool(_LEADING_ZERO.fullmatch(text))
