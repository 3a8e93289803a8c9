"""Running a contract's checks as plain functions, to see which of them a lying connector fails."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import pytest

Verdict = Literal["passed", "skipped"] | BaseException


@dataclass(frozen=True, slots=True)
class Twin:
    """A liar, the check written for it, and what else cannot but notice."""

    make: type
    caught_by: str
    also: frozenset[str]


class Twins:
    """The liars against one contract."""

    def __init__(self, contract: type) -> None:
        self.contract = contract
        self.all: list[Twin] = []

    def caught_by(self, check: str, *also: str) -> Callable[[type], type]:
        """Register a class as a liar."""

        def register(make: type) -> type:
            self.all.append(Twin(make, check, frozenset(also)))
            return make

        return register

    def uncaught_checks(self) -> set[str]:
        """The contract's checks for which there is no liar."""
        return set(checks(self.contract)) - {twin.caught_by for twin in self.all}


def checks(contract: type) -> Mapping[str, Callable[..., None]]:
    """The check functions by name, without ``test_``."""
    found = inspect.getmembers(contract, inspect.isfunction)
    return {name.removeprefix("test_"): function for name, function in found if name.startswith("test_")}


def verdicts(subject: object, fixtures: Callable[[], Mapping[str, Any]]) -> Mapping[str, Verdict]:
    """What each check of `subject` says, each with fixtures of its own."""
    return {
        name: _verdict(check, subject, fixtures, _parameters(check)) for name, check in checks(type(subject)).items()
    }


def failed(found: Mapping[str, Verdict]) -> set[str]:
    """The checks that did not pass; a skipped one counts as such, for it caught nothing."""
    return {name for name, verdict in found.items() if isinstance(verdict, BaseException)}


def _verdict(
    check: Callable[..., None],
    subject: object,
    fixtures: Callable[[], Mapping[str, Any]],
    parameters: Iterator[Mapping[str, Any]],
) -> Verdict:
    wanted = set(inspect.signature(check).parameters) - {"self"}
    for values in parameters:
        given = {**fixtures(), **values}
        try:
            check(subject, **{name: given[name] for name in wanted})
        except pytest.skip.Exception:
            return "skipped"
        except Exception as error:  # noqa: BLE001 - whatever fails a check fails the test
            return error
    return "passed"


def _parameters(check: Callable[..., None]) -> Iterator[Mapping[str, Any]]:
    marks = [mark for mark in getattr(check, "pytestmark", []) if mark.name == "parametrize"]
    for values in product(*(mark.args[1] for mark in marks)):
        yield {mark.args[0]: value for mark, value in zip(marks, values, strict=True)}
