"""Why a rule did not match: what the scan has under the names that the rule looks at."""

import json
from datetime import datetime
from typing import Any

from scribe_export.errors import InvalidScan, Rejected
from scribe_export.model import Record
from scribe_export.routing.rule import NAMES, Rule, shown

MAX_TEXT = 60
_ABSENT = object()


def values_of(rule: Rule, record: Record) -> str:
    """Like ``confidence is 0.5, material is "elm"``; empty if the rule looks at nothing that can be shown."""
    told = [f"{name} is {_said(_read(name, record))}" for name in rule.names if name != "scan"]
    if rule.paths:
        document = _read("scan", record)
        told += [f"scan.{'.'.join(path)} is {_said(_at(document, path))}" for path in rule.paths]
    return ", ".join(told)


def _read(name: str, record: Record) -> Any:
    try:
        value = NAMES[name](record)
    except (InvalidScan, Rejected):
        return _ABSENT
    return _ABSENT if value is None else value


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _said(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return f"{shown(value)} of {len(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
