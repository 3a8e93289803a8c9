"""What an attempt is charged for, counted in the transaction that settles it."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from scribe_export.claims import ClaimStore
from scribe_export.errors import PartialFailure
from scribe_export.interface import Sink
from scribe_export.journal.database import Database
from scribe_export.journal.usage import SCANS, count_usage
from scribe_export.model import Encoded, Record, Usage
from scribe_export.usage.units import checked

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Spent:
    """Amounts by their units, of one destination."""

    destination: str
    amounts: dict[str, float]


def spent(sink: Sink, encoded: Encoded, error: Exception | None = None) -> Spent:
    """What one attempt at a batch took, which ended with `error` or was confirmed."""
    count = len(encoded.batch.records)
    confirmed = count if error is None else _confirmed(sink, error)
    amounts = _amounts(sink.context.name, lambda: sink.usage(encoded), confirmed / count if count else 0.0)
    if confirmed:
        amounts[SCANS] = confirmed
    return Spent(sink.context.name, amounts)


def spent_on_claims(store: ClaimStore, records: Iterable[Record], *, again: bool) -> Spent:
    """What keeping whole scans took; those of a batch that comes `again` lie there already."""
    total: dict[str, float] = {}
    for record in records:
        amounts = _amounts(store.name, functools.partial(store.usage, record), 0.0 if again else 1.0)
        for unit, amount in amounts.items():
            total[unit] = total.get(unit, 0.0) + amount
    return Spent(store.name, total)


def counting(command: Callable[[Database], Any], spending: Sequence[Spent]) -> Callable[[Database], Any]:
    """`command`, and the count with it."""

    def both(db: Database) -> Any:
        for one in spending:
            count_usage(db, one.destination, one.amounts)
        return command(db)

    return both if any(one.amounts for one in spending) else command


def _confirmed(sink: Sink, error: Exception) -> int:
    # A batch that is known only whole comes again whole, with what was acked of it.
    return len(error.acked) if isinstance(error, PartialFailure) and sink.identity == "record" else 0


def _amounts(destination: str, usage: Callable[[], Usage], share: float) -> dict[str, float]:
    """By the sink's word, with as much of what is kept as the `share` of records that were confirmed."""
    try:
        found = usage()
        amounts = dict(found.tried)
        for unit, amount in found.kept.items() if share else ():
            amounts[unit] = amounts.get(unit, 0.0) + amount * share
        return checked(amounts)
    except Exception as error:  # noqa: BLE001 - a connector's bug in counting must not hold what it delivers
        _tell(destination, f"{type(error).__name__}: {error}")
        return {}


@functools.lru_cache(maxsize=64)
def _tell(destination: str, reason: str) -> None:
    """Once, and not with every batch."""
    log.error("usage not counted", destination=destination, reason=reason)
