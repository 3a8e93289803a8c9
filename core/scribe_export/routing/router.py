"""Which lanes a scan goes to, as the bit mask that is journalled with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scribe_export.model import Record
from scribe_export.routing.rules import Rules


@dataclass(frozen=True, slots=True)
class Routing:
    """`mask` has the bits of the destinations that get the scan. `failed` says why a destination's rule failed.

    A failed destination's bit is not in the mask: the scan is its dead letter, class ``rule``.
    """

    mask: int
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def unrouted(self) -> bool:
        """The scan cleanly matched nothing."""
        return not self.mask and not self.failed


class Router:
    """Knows each destination's bit (its number, 0 to 62) and the rules; a destination without a rule gets every scan."""

    def __init__(self, bits: Mapping[str, int], rules: Rules | None = None) -> None:
        self._bits = {name: 1 << bit for name, bit in bits.items()}
        self._rules = rules
        ruled = rules.names if rules else frozenset()
        if unknown := ruled - set(bits):
            raise ValueError(f"rules for destinations without a bit: {', '.join(sorted(unknown))}")
        self._always = sum(bit for name, bit in self._bits.items() if name not in ruled)
        self._constant = None if ruled else Routing(self._always)

    def route(self, record: Record) -> Routing:
        """Decide for one scan; never raises for a scan's content."""
        if self._constant or not self._rules:
            return self._constant or Routing(self._always)
        decision = self._rules.evaluate(record)
        mask = self._always
        for name in decision.matched:
            mask |= self._bits[name]
        return Routing(mask, decision.failed)

    def explain(self, record: Record) -> dict[str, str]:
        """For every destination ``matched``, or ``did not match: `` or ``failed: `` and why."""
        told = dict.fromkeys(self._bits, "matched")
        return told | (self._rules.explain(record) if self._rules else {})
