"""Which destinations want a scan: their `when`, in CEL.

Names at the top level are `scan_id` (text), `timestamp` (a CEL timestamp, UTC), `confidence`, `material`,
`signal_type`, `frequency` and `source`, and `scan` is the whole document without its `response.audio_data`. A field
that the scan does not have is null: ``material == "oak"`` is then false, ``confidence >= 0.8`` is an error, and
``confidence != null && confidence >= 0.8`` says what is meant.

A rule that raises for a scan, or gives something else than true or false, has *failed*: it has not matched, and its
destination keeps the scan as a dead letter. So `otherwise` takes a scan that matched no rule, also if some failed.
Language: https://github.com/google/cel-spec; functions beyond its core are not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scribe_export.errors import InvalidScan, Rejected
from scribe_export.model import Record
from scribe_export.routing.reasons import values_of
from scribe_export.routing.rule import NAMES, Rule, compile_rule, shown

OTHERWISE = "otherwise"
MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Destinations whose rule matched, and those whose rule failed with why."""

    matched: tuple[str, ...]
    failed: Mapping[str, str]


class Rules:
    """The compiled rules of a pipeline, by destination; destinations without a rule are not in here."""

    def __init__(self, rules: Mapping[str, Rule], otherwise: tuple[str, ...] = ()) -> None:
        self._rules = dict(rules)
        self._otherwise = otherwise
        used = {name for rule in rules.values() for name in rule.names}
        self._readers = [(name, read) for name, read in NAMES.items() if name in used]
        self._context = _context_type() if rules else dict
        self._programs = [(name, rule.program, rule.names) for name, rule in rules.items()]

    @classmethod
    def compile(cls, texts: Mapping[str, str]) -> "Rules":
        """From each destination's `when`; raises `RuleMistake` for the first wrong one."""
        rules = {name: compile_rule(text) for name, text in texts.items() if text.strip() != OTHERWISE}
        return cls(rules, tuple(name for name, text in texts.items() if text.strip() == OTHERWISE))

    @property
    def names(self) -> frozenset[str]:
        """The destinations that have a rule or `otherwise`."""
        return frozenset(self._rules) | frozenset(self._otherwise)

    def evaluate(self, record: Record) -> RoutingDecision:
        """Decide for one scan; never raises for a scan's content."""
        values: dict[str, Any] = {}
        unread: dict[str, str] = {}
        for name, read in self._readers:
            try:
                values[name] = read(record)
            except (InvalidScan, Rejected) as error:
                unread[name] = str(error)
        matched: list[str] = []
        failed: dict[str, str] = {}
        try:
            context = self._context(values)
        except Exception as error:  # noqa: BLE001 - whatever a scan holds, it concerns this scan alone
            failed = dict.fromkeys(self._rules, f"the scan cannot be handed to CEL: {error}"[:MAX_MESSAGE])
            return RoutingDecision(self._otherwise, failed)
        for destination, program, names in self._programs:
            try:
                result = program.execute(context)
            except Exception as error:  # noqa: BLE001 - a rule that raises fails for this scan, whatever it raises
                failed[destination] = _why(error, names, values, unread)
                continue
            if result is True:
                matched.append(destination)
            elif result is not False:
                failed[destination] = f"the rule gave {shown(result)}, not true or false"
        return RoutingDecision(tuple(matched) or self._otherwise, failed)

    def explain(self, record: Record) -> dict[str, str]:
        """For each destination with a rule ``matched``, or ``did not match: `` or ``failed: `` and why."""
        decision = self.evaluate(record)
        told: dict[str, str] = {}
        for name in sorted(self.names):
            if name in decision.failed:
                told[name] = f"failed: {decision.failed[name]}"
            elif name in decision.matched:
                told[name] = "matched"
            else:
                rule = self._rules.get(name)
                why = values_of(rule, record) if rule else f"{' and '.join(decision.matched)} matched"
                told[name] = f"did not match: {why}" if why else "did not match"
        return told


def _context_type() -> Any:
    # The import costs a quarter of a second: only a pipeline with rules pays for it.
    from cel import Context

    return Context


def _why(error: Exception, names: tuple[str, ...], values: Mapping[str, Any], unread: Mapping[str, str]) -> str:
    for name in names:
        if name in unread:
            return unread[name][:MAX_MESSAGE]
    missing = [name for name in names if values.get(name) is None]
    if missing and isinstance(error, TypeError | RuntimeError):
        return f"the scan has no {' and no '.join(missing)}"
    if isinstance(error, KeyError):
        return f"the scan has no {error.args[0] if error.args else error}"[:MAX_MESSAGE]
    return f"{error}".partition(". ")[0].partition(": the operation")[0][:MAX_MESSAGE]
