"""A model's options as rows for people: name, what may stand there, default and meaning."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from scribe_export.options import Duration, Secret, SecretText, Size

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_NAMES: dict[Any, str] = {str: "text", int: "number", float: "number", bool: "true or false", Secret: "secret"}


class Row(NamedTuple):
    """One option; nested ones are named with dots."""

    option: str
    value: str
    default: str
    meaning: str


def option_rows(model: type[BaseModel], *, without: type[BaseModel] | None = None, prefix: str = "") -> Iterator[Row]:
    """The options of a model, without those that it shares with another."""
    for name, field in model.model_fields.items():
        if without is not None and name in without.model_fields and _same(field, without.model_fields[name]):
            continue
        meaning = plain(field.description or "")
        nested = [kind for kind in _parts(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        default = "required" if not prefix and name == "type" else _default(field)
        shown = prefix + (field.alias or name)
        yield Row(shown, _value(field.annotation, field.metadata), default, meaning)
        for kind in nested:
            yield from option_rows(kind, prefix=f"{shown}.")


def plain(text: str) -> str:
    """A docstring's words without its marks, on one line."""
    return " ".join(text.replace("``", "").replace("`", "").split())


def duration_text(seconds: float) -> str:
    """As a user writes it, in the largest unit that divides it."""
    unit = next((name for name, size in _UNITS.items() if seconds and not seconds % size), "s")
    return f"{seconds / _UNITS[unit]:g}{unit}"


def size_text(size: int) -> str:
    """As a user writes it, in the largest unit that divides it."""
    unit = next(name for name, factor in _SIZES.items() if (size and not size % factor) or factor == 1)
    return f"{size // _SIZES[unit]}{unit}"


def _same(field: FieldInfo, other: FieldInfo) -> bool:
    return (field.annotation, field.default, field.description) == (other.annotation, other.default, other.description)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, "", (), {}) or isinstance(value, BaseModel):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if _is(Duration, field.annotation, field.metadata):
        return duration_text(value)
    return size_text(value) if _is(Size, field.annotation, field.metadata) else str(value)


def _value(annotation: Any, metadata: list[Any]) -> str:
    if _is(Duration, annotation, metadata):
        return "duration"
    if _is(Size, annotation, metadata):
        return "size"
    names: list[str] = []
    for part in _parts(annotation):
        if typing.get_origin(part) is Literal:
            names += [str(choice) for choice in typing.get_args(part)]
        elif isinstance(part, type) and issubclass(part, BaseModel):
            names.append("mapping")
        else:
            names.append(_NAMES.get(part) or _collection(part))
    return " or ".join(dict.fromkeys(names))


def _collection(part: Any) -> str:
    origin = typing.get_origin(part)
    return "mapping" if origin is dict else "list" if origin in {tuple, list} else "text"


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, without None and without what is annotated to them."""
    if typing.get_origin(annotation) is typing.Annotated:
        return [Secret] if annotation == SecretText else _parts(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        return [part for member in typing.get_args(annotation) if member is not type(None) for part in _parts(member)]
    return [annotation]


def _is(wanted: Any, annotation: Any, metadata: list[Any]) -> bool:
    """Whether this is the annotated type `wanted`, or may also be None."""
    marks = typing.get_args(wanted)[1:]
    members = typing.get_args(annotation) if typing.get_origin(annotation) is not typing.Annotated else (annotation,)
    return marks[-1] in metadata or any(marks[-1] in typing.get_args(member) for member in members)
