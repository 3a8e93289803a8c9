"""JSON values as DynamoDB's attribute values, in the form that goes over the wire.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
"""

import json
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

import msgspec

from scribe_export.errors import Rejected

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html (seen 2026-11-24)
MAX_DIGITS = 38
MAX_EXPONENT = 125
MIN_EXPONENT = -130
MAX_DEPTH = 32  # levels of lists and maps within an attribute


_EXACT = Context(prec=MAX_DIGITS)


class Number(msgspec.Struct, frozen=True):
    """A number, with its text as the scan has it."""

    N: str


class Text(msgspec.Struct, frozen=True):
    """Text."""

    S: str


class Binary(msgspec.Struct, frozen=True):
    """Bytes."""

    B: bytes


class _Map(msgspec.Struct):
    M: dict[str, Any]


class _List(msgspec.Struct):
    L: list[Any]


class _Bool(msgspec.Struct):
    BOOL: bool


class _Null(msgspec.Struct):
    NULL: bool = True


class View(msgspec.Struct):
    """What of a scan an item may be made of, numbers with their text."""

    scan_id: Any = None
    timestamp: Any = None
    config: Any = msgspec.UNSET
    features: Any = msgspec.UNSET
    interpretation: Any = msgspec.UNSET
    claim_check: Any = msgspec.UNSET


_view = msgspec.json.Decoder(View, float_hook=Number)


def read_view(body: bytes) -> View:
    """The parts of a scan that an item may be made of; raises `Rejected`."""
    try:
        return _view.decode(body)
    except msgspec.ValidationError:
        return _read_slowly(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"not JSON that can be an item: {error}", kind="invalid") from None


def _read_slowly(body: bytes) -> View:
    """The same of a scan with an integer of thousands of digits."""
    try:
        document = json.loads(body, parse_int=Number, parse_float=Number, parse_constant=_refuse)
        return View(**{name: document[name] for name in View.__struct_fields__ if name in document})
    except (ValueError, TypeError, RecursionError) as error:
        raise Rejected(f"not JSON that can be an item: {error}", kind="invalid") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def wire(value: Any, path: str, strings: list[str], depth: int = 0) -> Any:
    """The attribute value of a decoded value.

    A number that DynamoDB cannot hold becomes text, and its path (a JSON pointer) is added to `strings`. Raises
    `Rejected` for what no attribute can hold.
    """
    kind = type(value)
    if kind is Number:
        return value if _plainly_fits(value.N) else _number(value.N, path, strings)
    if kind is str:
        return Text(value)
    if kind is dict:
        _check(value, depth)
        return _Map({name: wire(one, f"{path}/{name}", strings, depth + 1) for name, one in value.items()})
    if kind is list:
        _check(value, depth)
        return _List([wire(one, f"{path}/{index}", strings, depth + 1) for index, one in enumerate(value)])
    if kind is bool:
        return _Bool(value)
    if kind is int:
        return _number(str(value), path, strings)
    return _Null()


def _check(value: Any, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise Rejected(f"nested deeper than DynamoDB's {MAX_DEPTH} levels; item: document takes it", kind="too_deep")
    if isinstance(value, dict) and "" in value:
        raise Rejected("a field has an empty name, which DynamoDB refuses; item: document takes it", kind="name")


def _plainly_fits(text: str) -> bool:
    return len(text) <= MAX_DIGITS and "e" not in text and "E" not in text and text[:2] != "-0"


def _number(text: str, path: str, strings: list[str]) -> Number | Text:
    if _plainly_fits(text):
        return Number(text)
    try:
        number = Decimal(text)
        if not number:
            return Number("0")  # DynamoDB knows no negative zero
        digits = "".join(map(str, number.as_tuple().digits)).strip("0")
        if len(digits) <= MAX_DIGITS and MIN_EXPONENT <= number.adjusted() <= MAX_EXPONENT:
            # Without the zeros that say nothing, over which readers with 38 digits stumble.
            return Number(str(number.normalize(_EXACT)))
    except ArithmeticError:
        pass
    strings.append(path)
    return Text(text)


def item_size(item: Mapping[str, Any]) -> int:
    """How many bytes an item (in wire form) has by DynamoDB's own rules.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + attribute_size(value) for name, value in item.items())


def number_size(text: str) -> int:
    """A byte for two digits and one for the rest; a negative number takes one more."""
    digits = text.lstrip("-").partition("e")[0].partition("E")[0].replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + int(text.startswith("-"))


def attribute_size(attribute: Mapping[str, Any]) -> int:
    """Bytes of one value, in wire form, by the same rules."""
    [(kind, value)] = attribute.items()
    if kind == "S":
        return len(str(value).encode())
    if kind == "N":
        return number_size(value)
    if kind == "B":
        return len(value) * 3 // 4 - int(value.count("="))
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + attribute_size(one) for name, one in value.items())
    if kind == "L":
        return 3 + sum(1 + attribute_size(one) for one in value)
    return 1
