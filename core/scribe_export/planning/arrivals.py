"""Bodies as a new journal would take them: identified, routed, numbered, and compared with those before them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from scribe_export.archives.codec import same_json
from scribe_export.config import Config
from scribe_export.identify import Identifier, Origin
from scribe_export.journal.ingest import NewScan
from scribe_export.model import Incoming, Record
from scribe_export.planning.planned import Fate, PlannedScan
from scribe_export.routing.router import Router


@dataclass(slots=True)
class Arrivals:
    """`scans` in the order in which they came, and for each destination the records on their way to it."""

    scans: list[PlannedScan] = field(default_factory=list)
    records: dict[str, list[tuple[Record, PlannedScan]]] = field(default_factory=dict)
    _known: dict[str, list[tuple[NewScan, int]]] = field(default_factory=dict)
    _seq: int = 0

    def add(self, config: Config, incoming: Iterable[Incoming], origin: Origin, received_at: float) -> None:
        """Take them all, as journalled at `received_at`, seconds since the epoch."""
        bits = {name: bit for bit, name in enumerate(config.destinations)}
        router = Router(bits, config.rules)
        identifier = Identifier(router, bits, max_record=config.journal.max_record, assume=config.assume_timezone)
        for item in incoming:
            scan = identifier.identify(item, origin, received_at)
            told = PlannedScan(item.origin, scan.scan_id, len(scan.body), scan.sha256)
            self.scans.append(told)
            if scan.invalid:
                told.outcome, told.scan_id = "invalid", ""
                told.kind, told.why = scan.invalid
                self._seq += 1
            elif not self._is_duplicate(scan, told):
                self._number(scan, told)
                self._route(config, scan, told, router.explain(scan.record) if scan.record else {})

    def _is_duplicate(self, scan: NewScan, told: PlannedScan) -> bool:
        for known, seq in self._known.get(scan.scan_id, ()):
            if known.sha256 == scan.sha256 or same_json(known.body, scan.body):
                told.outcome, told.why = "duplicate", f"the same as scan number {seq} of these, and not taken again"
                return True
        return False

    def _number(self, scan: NewScan, told: PlannedScan) -> None:
        self._seq += 1
        before = self._known.setdefault(scan.scan_id, [])
        before.append((scan, self._seq))
        if scan.record:
            scan.record.seq, scan.record.version = self._seq, len(before)
        if len(before) > 1:
            told.outcome, told.why = "conflict", f"scan number {before[0][1]} of these has the id and other content"

    def _route(self, config: Config, scan: NewScan, told: PlannedScan, explained: Mapping[str, str]) -> None:
        for name, built in config.destinations.items():
            answer, _, why = explained[name].partition(": ")
            policy = built.options.on_conflict if told.outcome == "conflict" else "version"
            if answer == "failed":
                told.fates[name] = Fate("refused", "rule", f"the rule failed: {why}")
            elif answer != "matched":
                told.fates[name] = Fate("not_matched", why=why)
            elif policy in _STAYS:
                told.fates[name] = Fate(_STAYS[policy], "conflict" if policy == "dead_letter" else "", told.why)
            elif scan.record:
                told.fates[name] = Fate("sent")
                self.records.setdefault(name, []).append((scan.record, told))


_STAYS: Mapping[str, Literal["refused", "kept"]] = {"dead_letter": "refused", "keep": "kept"}
