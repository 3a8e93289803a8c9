"""The parts that a config names, each made with what its entry says."""

import random
from collections.abc import Callable, Mapping
from typing import cast

from scribe_export.claims import ClaimHolder, ClaimStore
from scribe_export.clock import Clock
from scribe_export.config import Config
from scribe_export.interface import Sink, Source
from scribe_export.journal.destinations import DestinationRow
from scribe_export.journal.ingest import ConflictMasks
from scribe_export.journal.store import Store
from scribe_export.lane.head import Head
from scribe_export.lane.lane import Lane
from scribe_export.options import BreakerOptions, SinkOptions
from scribe_export.patterns import CircuitBreaker, RetryPolicy


class Assembly:
    """`once` asks sources to read what is there and then end."""

    def __init__(self, config: Config, *, clock: Clock, rng: random.Random, once: bool) -> None:
        self._config, self._clock, self._rng, self._once = config, clock, rng, once

    def sink(self, name: str) -> Sink:
        """That of a destination, not yet open."""
        built = self._config.destinations[name]
        return cast("Sink", built.connector(built.options, self._config.context(name, clock=self._clock)))

    def source(self, name: str) -> Source:
        """Another one at each call, not yet open."""
        built = self._config.sources[name]
        context = self._config.context(name, clock=self._clock, once=self._once)
        return cast("Source", built.connector(built.options, context))

    def claim_store(self, options: SinkOptions) -> ClaimStore | None:
        """Where a destination with these options keeps whole what it cannot take."""
        name = options.oversize.destination
        if name is None:
            return None
        return ClaimStore(
            name, cast("ClaimHolder", self.sink(name)), self._breaker(self._config.destinations[name].options.breaker)
        )

    def lane(
        self,
        row: DestinationRow,
        sink: Sink,
        *,
        store: Store,
        head: Head,
        claims: ClaimStore | None,
        told: Callable[[], None] | None,
    ) -> Lane:
        """That of a destination; `told` as in `Lane`."""
        options = sink.options
        retry = RetryPolicy(
            options.retry.max_attempts,
            options.retry.base_delay,
            options.retry.max_delay,
            rng=self._rng,
            clock=self._clock,
        )
        return Lane(
            row,
            sink,
            store=store,
            head=head,
            clock=self._clock,
            retry=retry,
            breaker=self._breaker(options.breaker),
            claims=claims,
            assume=self._config.assume_timezone,
            told=told,
        )

    def conflicts(self, rows: Mapping[str, DestinationRow]) -> ConflictMasks:
        """What each destination does with a known id that has other content."""

        def mask(policy: str) -> int:
            options = ((row.id, self._config.destinations[name].options) for name, row in rows.items())
            return sum(1 << bit for bit, chosen in options if chosen.on_conflict == policy)

        return ConflictMasks(dead_letter=mask("dead_letter"), keep=mask("keep"))

    def _breaker(self, options: BreakerOptions) -> CircuitBreaker:
        return CircuitBreaker(
            options.failure_threshold,
            options.timeout,
            failure_rate=options.failure_rate,
            window=options.window,
            clock=self._clock,
        )
