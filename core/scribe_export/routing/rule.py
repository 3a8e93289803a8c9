"""One rule, checked and compiled: what it may name, and what is wrong with it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scribe_export.model import Record
from scribe_export.suggest import did_you_mean

if TYPE_CHECKING:
    from cel import Program

_FLAT: dict[str, Callable[[Record], Any]] = {
    "scan_id": lambda record: record.scan_id,
    "timestamp": lambda record: record.timestamp,
    "confidence": lambda record: record.fields.confidence,
    "material": lambda record: record.fields.material,
    "signal_type": lambda record: record.fields.signal_type,
    "frequency": lambda record: record.fields.frequency,
    "source": lambda record: record.source,
}


def _document(record: Record) -> dict[str, Any]:
    document = record.document()
    response = document.get("response")
    if isinstance(response, dict):
        # Handing 400 floats of audio to CEL costs fifty times the rest of the context.
        response.pop("audio_data", None)
    return document


NAMES: Mapping[str, Callable[[Record], Any]] = _FLAT | {"scan": _document}
_TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_FUNCTIONS = frozenset(
    [
        "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
        "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has",
        "int", "matches", "size", "startsWith", "string", "timestamp", "type", "uint"
    ]
)  # fmt: skip
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_PATH = re.compile(r"(?<![\w.])scan((?:\s*\.\s*[A-Za-z_]\w*)+)(\s*\()?")
_WHERE = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_HABITS = {"and": "&&", "or": "||", "not": "!", "=": "==", "AND": "&&", "OR": "||", "NOT": "!"}


class RuleMistake(ValueError):
    """A rule that can never work; `line` and `column` count from 1 within its text, 0 where they are not known."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule, the names that it uses, and of the document its dotted paths."""

    text: str
    program: "Program"
    names: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...] = ()


def compile_rule(text: str) -> Rule:
    """Check one rule; raises `RuleMistake` for wrong syntax, unknown names and a result that is never true or false."""
    import cel

    try:
        program = cel.compile(text)
    except ValueError as error:
        raise _syntax(text, str(error)) from None
    bare = _TEXT.sub(lambda match: " " * len(match[0]), text)
    bound = set(_BOUND.findall(bare))
    used = program.variables()
    for name in used:
        if name not in bound and name not in NAMES and name not in _TYPES:
            raise RuleMistake(f'uses the unknown name "{name}"' + did_you_mean(name, NAMES), *_position(bare, name))
    for name in program.functions():
        if name.isidentifier() and name not in _FUNCTIONS:
            raise RuleMistake(
                f'uses the unknown function "{name}"' + did_you_mean(name, _FUNCTIONS), *_position(bare, name)
            )
    rule = Rule(text, program, tuple(name for name in NAMES if name in used), _paths(bare))
    _try(rule)
    return rule


def _paths(bare: str) -> tuple[tuple[str, ...], ...]:
    found: dict[tuple[str, ...], None] = {}
    for match in _PATH.finditer(bare):
        parts = tuple(part.strip() for part in match[1].split(".")[1:])
        if path := parts[:-1] if match[2] else parts:
            found[path] = None
    return tuple(found)


def _try(rule: Rule) -> None:
    """Run the rule on a scan that has every flat field: their types are fixed, so a wrong type is the rule's mistake."""
    if "scan" in rule.names:
        return
    sample = {"scan_id": "1", "timestamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "confidence": 0.5}
    sample |= {"material": "oak", "signal_type": "sine", "frequency": 440.0, "source": "api"}
    try:
        result = rule.program.execute(sample)
    except TypeError:
        raise RuleMistake(
            "compares or calls with wrong types: confidence and frequency are numbers, timestamp is a timestamp, "
            "the other names are text"
        ) from None
    except Exception:  # noqa: BLE001 - depends on the values, and so on the scan
        return
    if not isinstance(result, bool):
        raise RuleMistake(f"gives {shown(result)}, not true or false")


def _syntax(text: str, error: str) -> RuleMistake:
    match = _WHERE.search(error)
    if not match:
        return RuleMistake("is not CEL")
    line, column = int(match[1]), int(match[2])
    lines = text.split("\n")
    found = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    word = re.match(r"\w+|=", found)
    habit = _HABITS.get(word[0]) if word else None
    if habit:
        return RuleMistake(f"is not CEL at character {column}: write {habit}, not {word and word[0]}", line, column)
    if not found.strip():
        return RuleMistake("is not CEL: it ends too early", line, column)
    return RuleMistake(f"is not CEL at character {column}: {match[3].partition(' expecting ')[0]}", line, column)


def _position(bare: str, name: str) -> tuple[int, int]:
    match = re.search(rf"(?<![\w.]){re.escape(name)}\b", bare) or re.search(rf"\b{re.escape(name)}\b", bare)
    if not match:
        return 0, 0
    before = bare[: match.start()]
    return before.count("\n") + 1, match.start() - (before.rfind("\n") + 1) + 1


def shown(value: Any) -> str:
    """What kind of value it is, in words."""
    kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a map"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")
