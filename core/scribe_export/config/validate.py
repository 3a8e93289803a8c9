"""Checks a part of the tree against a model and says every mistake in the operator's words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from scribe_export.config.scalars import resolve
from scribe_export.config.secrecy import scrubbed
from scribe_export.config.tree import Branch, Findings, Items, Leaf, Node, Place, Value, leaves, plain, retyped
from scribe_export.options import Secret
from scribe_export.suggest import did_you_mean, nearest

Model = TypeVar("Model", bound=BaseModel)

_TYPES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must hold options by name",
    "model_type": "must hold options by name",
    "model_attributes_type": "must hold options by name",
    "list_type": "must be a list, like [a, b]",
    "tuple_type": "must be a list, like [a, b]",
    "set_type": "must be a list, like [a, b]",
    "frozen_set_type": "must be a list, like [a, b]",
}
_SCALARS = {"int_type", "float_type", "bool_type"}


def validated(model: type[Model], node: Branch, found: Findings) -> Model | None:
    """An instance, or None with the mistakes in `found`.

    Values are validated as JSON, so that paths, lists and enumerations may be written as text and lists, and nothing
    else is converted; but text that came whole from a reference is a number where a number is wanted.
    """
    try:
        return _instance(model, node)
    except ValidationError as error:
        numbers = dict(_numbers(error, node))
        if not numbers:
            _report(error, model, node, found)
            return None
    try:
        return _instance(model, retyped(node, numbers))
    except ValidationError as error:
        _report(error, model, node, found)
        return None


def _instance(model: type[Model], node: Node) -> Model:
    return model.model_validate_json(json.dumps(plain(node)), context={"yaml": True})


def _numbers(error: ValidationError, node: Branch) -> Iterator[tuple[Place, Value]]:
    for detail in error.errors(include_input=False, include_url=False):
        leaf, _ = _walk(node, detail["loc"])
        if detail["type"] in _SCALARS and isinstance(leaf, Leaf) and leaf.references and isinstance(leaf.value, str):
            value = resolve(leaf.value)
            if value is not None and not isinstance(value, str):
                yield leaf.place, value


def _report(error: ValidationError, model: type[BaseModel], node: Branch, found: Findings) -> None:
    messages: dict[tuple[Place, str], list[str]] = {}
    details = error.errors(include_input=False, include_url=False)
    misspelt = {
        (*detail["loc"][:-1], near)
        for detail in details
        if detail["type"] == "extra_forbidden"
        and (near := nearest(str(detail["loc"][-1]), _options(model, detail["loc"][:-1])))
    }
    for detail in details:
        loc = detail["loc"]
        at, rest = _walk(node, loc)
        if detail["type"] == "missing":
            if loc not in misspelt:
                found.add(at.key, "is required", path=f"{at.key.path}.{loc[-1]}".lstrip("."))
        elif detail["type"] == "extra_forbidden":
            found.add(at.key, _unknown(str(loc[-1]), _options(model, loc[:-1])))
        elif loc[-1:] == ("[key]",):
            found.add(at.key, "a name holds only a-z, 0-9, _ and -, at most 64 of them")
        elif rest or not any(leaf.broken for leaf in leaves(at)):
            message = scrubbed(_say(detail, at), _hidden(model, loc, at))
            said = messages.setdefault((at.place, at.place.path), [])
            said += [message] if message not in said else []
    for (place, path), said in messages.items():
        found.add(place, ", or ".join(said), path=path)


def _unknown(name: str, known: set[str]) -> str:
    rest = "" if name.replace("_", "").isalnum() else "; if it is the rest of a text, put that in quotes"
    return "unknown option" + did_you_mean(name, known) + rest


def _walk(node: Node, loc: tuple[int | str, ...]) -> tuple[Node, tuple[int | str, ...]]:
    """The deepest node on the way, and what of the way is not in the file; names of union members are passed over."""
    rest: list[int | str] = []
    for part in loc:
        if isinstance(node, Branch) and part in node.entries:
            node, rest = node.entries[str(part)], []
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node, rest = node.items[part], []
        else:
            rest.append(part)
    return node, tuple(rest)


def _say(detail: Any, at: Node) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        return str(context["error"])
    if kind in {"string_type", "string_sub_type", "is_instance_of"}:
        return _not_text(at)
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "must have the form {pattern}".format(**context)
    message = _TYPES.get(kind) or str(detail["msg"])
    for start in ("Input should be ", "String should ", "Value should ", "Input should "):
        message = message.replace(start, "must be " if start.endswith("be ") else "must ")
    return message


def _not_text(at: Node) -> str:
    if not isinstance(at, Leaf):
        what = "a list" if isinstance(at, Items) else "options by name"
        return f"must be text, and YAML reads {what} here; put it in quotes"
    what = "nothing" if at.value is None else "true or false" if isinstance(at.value, bool) else "a number"
    return f"must be text, and YAML reads {what} here; put it in quotes"


def _hidden(model: type[BaseModel], loc: tuple[int | str, ...], at: Node) -> set[str]:
    hidden = {value for leaf in leaves(at) for _, value in leaf.references}
    hidden |= {str(leaf.value) for leaf in leaves(at) if leaf.references}
    if any(_mentions(annotation, Secret) for annotation in _annotations(model, loc)):
        hidden |= {str(leaf.value) for leaf in leaves(at) if leaf.value is not None}
    return hidden


def options_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The model's options by the names that the operator writes."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _options(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    return {name for annotation in _annotations(model, loc) for sub in _models(annotation) for name in options_of(sub)}


def _annotations(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[Any]:
    current: list[Any] = [model]
    for part in loc:
        fields = [options_of(sub) for annotation in current for sub in _models(annotation)]
        current = [known[part].annotation for known in fields if isinstance(part, str) and part in known] or current
    return current


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(inner, wanted) for inner in get_args(annotation))
