"""Every place in a config that takes a secret, found in the models, and a config that has a canary in each."""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from scribe_export import registry
from scribe_export.config.outer import Outer
from scribe_export.config.validate import options_of
from scribe_export.options import Secret

COMPANIONS: Mapping[str, Mapping[str, Any]] = {
    "auth.secret_access_key": {"auth": {"access_key_id": "AKIAIOSFODNN7EXAMPLE"}},
    "auth.session_token": {
        "auth": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "${CANARY}-key"},
    },
    "password": {"username": "lab"},
}
"""What a secret does not go without."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One secret option: of a connector, or with the kind ``top`` of the file itself."""

    kind: str
    name: str
    path: tuple[str, ...]
    by_name: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {'.'.join(self.path)}"

    def filled(self, entry: Mapping[str, Any], value: str) -> dict[str, Any]:
        """The entry with the secret in it, and what belongs to it."""
        secret: Any = {"X-Api-Key": value} if self.by_name else value
        for part in reversed(self.path):
            secret = {part: secret}
        return merged(merged(entry, COMPANIONS.get(".".join(self.path), {})), secret)


def secret_slots() -> list[Slot]:
    """Of every connector that is installed with this project, and of the file's own options."""
    slots = [Slot("top", "", path, by_name) for path, by_name in _secrets(Outer)]
    for listed in registry.connectors():
        if listed.origin == "scribe-export":
            assert listed.connector, listed.problem
            options = listed.connector.options_type
            slots += [Slot(listed.kind, listed.name, path, by_name) for path, by_name in _secrets(options)]
    return slots


def plain_texts() -> Iterator[tuple[str, str]]:
    """Every option that is text and no secret, by the connector's name and its path."""
    for listed in registry.connectors():
        if listed.origin == "scribe-export" and listed.connector:
            for path in _texts(listed.connector.options_type):
                yield listed.name, ".".join(path)
    for path in _texts(Outer):
        yield "top", ".".join(path)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`one` with what `other` has, nested options too."""
    result = dict(one)
    for name, value in other.items():
        inner = result.get(name)
        result[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def _secrets(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    for name, option in options_of(model).items():
        path = (*before, name)
        if _mentions(option.annotation, Secret):
            yield path, _mentions(option.annotation, dict) or typing.get_origin(option.annotation) is dict
        for inner in _models(option.annotation):
            yield from _secrets(inner, path)


def _texts(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, option in options_of(model).items():
        path = (*before, name)
        if _mentions(option.annotation, str) and not _mentions(option.annotation, Secret):
            yield path
        for inner in _models(option.annotation):
            yield from _texts(inner, path)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models(inner)


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(inner, wanted) for inner in typing.get_args(annotation))
