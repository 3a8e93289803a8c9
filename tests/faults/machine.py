"""Everything that can happen to a pipeline, in any order."""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from faults.model import Pipeline
from faults.simulated import FATES, KINDS, Fate
from faults.surroundings import Disk, Drawn
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.memory import MEMORY

from scribe_export.journal import collect, database, dead, destinations
from scribe_export.journal.batches import SealedBatch, batches, members_of
from scribe_export.lane.verdict import Evidence

T = TypeVar("T")
NAMES = st.sampled_from(sorted(KINDS))
PICK = st.integers(0, 30)
SEEDS = st.integers(0, 7)
PART = st.sampled_from([0, 0, 1, 2])
TROUBLE: tuple[Fate, ...] = ("lost", "lost", "partial", "burned", "lost_burn", "no")
TROUBLES = st.lists(st.sampled_from(TROUBLE), min_size=1, max_size=3) | st.permutations(["lost", "no", "rejected"])
TORN = st.sampled_from([False] * 9 + [True])
EVIDENCE = st.builds(Evidence, other_got_through=st.booleans(), alone=st.booleans())
SCANS = st.builds(
    Drawn,
    scan_id=st.integers(0, 7),
    content=st.sampled_from([0, 0, 0, 1]),
    spaces=st.sampled_from([0, 0, 2]),
    tag=st.sampled_from(["", "", "", "", "big", "nameless"]),
    group=st.sampled_from(["a", "a", "b"]),
    large=st.sampled_from([False, False, True]),
    to=st.sampled_from([sorted(KINDS)] * 3 + [[name] for name in sorted(KINDS)] + [["objects", "rows"], []]),
    failing=st.sampled_from([[], [], [], ["rows"], ["objects"]]),
    valid=st.sampled_from([True] * 11 + [False]),
)


class LedgerMachine(RuleBasedStateMachine):
    """The honest ledger has to keep every promise, whatever the order of these."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = ExitStack()
        disk = Disk()
        # Nothing here loses what the system was given: real syncs would only cost time. Slices and destinations are few,
        # so that their ends are met.
        for target, name, value in (
            (os, "fsync", disk.fsync), (database, "SYNCHRONOUS", "OFF"),
            (collect, "SLICE", 3), (destinations, "MAX_DESTINATIONS", 6),
        ):  # fmt: skip
            self._ending.enter_context(patch.object(target, name, value))
        folder = self._ending.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.pipeline = Pipeline(Path(folder) / "state", disk)
        self._ending.callback(lambda: self.pipeline.journal.close())  # noqa: PLW0108 - a crash opens another journal
        self.fresh = 100

    @rule(scans=st.lists(SCANS, min_size=1, max_size=4), torn=TORN)
    def ingest(self, scans: list[Drawn], torn: bool) -> None:
        self.pipeline.ingest(scans, torn=torn)

    @rule(count=st.integers(1, 4), group=st.sampled_from(["a", "b"]), large=st.booleans())
    def ingest_new(self, count: int, group: str, large: bool) -> None:
        self.pipeline.ingest([self._new(group, large=large) for _ in range(count)])

    @rule(name=NAMES, limit=st.integers(1, 5), torn=TORN)
    def seal(self, name: str, limit: int, torn: bool) -> None:
        if name in self.pipeline.rows:
            self.pipeline.seal(name, limit, torn=torn)

    @rule(name=NAMES, pick=PICK, fate=st.sampled_from(FATES), seed=SEEDS)
    def send(self, name: str, pick: int, fate: Fate, seed: int) -> None:
        if name in self.pipeline.rows and (waiting := self.pipeline.waiting(name)):
            self.pipeline.send(name, choose(waiting, pick), fate, seed)

    @precondition(lambda self: self.pipeline.in_flight)
    @rule(pick=PICK, evidence=EVIDENCE, torn=TORN)
    def settle(self, pick: int, evidence: Evidence, torn: bool) -> None:
        self.pipeline.settle(choose(list(self.pipeline.in_flight.values()), pick), evidence, torn=torn)

    @rule(
        name=NAMES, limit=st.integers(1, 3), fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=5), seed=SEEDS
    )
    def deliver(self, name: str, limit: int, fates: list[Fate], seed: int) -> None:
        """The oldest batch, sealed if there is none, meets one fate after another, and others get through."""
        pipeline = self.pipeline
        if name not in pipeline.rows:
            return
        if not pipeline.waiting(name):
            pipeline.ingest([self._new("a"), self._new("a")])
            pipeline.seal(name, limit)
        for fate in fates:
            if waiting := pipeline.waiting(name):
                pipeline.send(name, waiting[0], fate, seed)
                pipeline.settle(pipeline.in_flight[waiting[0].id], Evidence(other_got_through=True, alone=False))
                pipeline.check()

    @rule(name=NAMES, fates=TROUBLES, part=PART, seed=SEEDS)
    def end_in_trouble(self, name: str, fates: Sequence[Fate], part: int, seed: int) -> None:
        """A new batch fails until it is dead or divided; an operator replays it, and then all goes well."""
        pipeline = self.pipeline
        if name not in pipeline.rows:
            return
        pipeline.ingest([self._new("a") for _ in range(3)])
        while sealed := pipeline.seal(name, 5):
            for fate in fates:
                for batch in self._left_of(name, sealed):
                    pipeline.send(name, batch, fate, seed)
                    pipeline.settle(pipeline.in_flight[batch.id], Evidence(other_got_through=True, alone=False))
        self._replay(name, part)
        for batch in pipeline.waiting(name):
            pipeline.send(name, batch, "ok")
            pipeline.settle(pipeline.in_flight[batch.id], Evidence(other_got_through=True, alone=False))

    @rule(name=NAMES, limit=st.integers(1, 3), fate=st.sampled_from(FATES), more=st.booleans(), power=st.booleans())
    def die_while_sending(self, name: str, limit: int, fate: Fate, more: bool, power: bool) -> None:
        """What was sealed was sent; the process dies before it settles."""
        if name not in self.pipeline.rows:
            return
        sealed = self.pipeline.seal(name, limit)
        for batch in sealed:
            self.pipeline.send(name, batch, fate)
        self.pipeline.crash(power=power)
        if more:
            self.pipeline.ingest([self._new("a")])
        self.pipeline.seal(name, 5)

    @rule(power=st.booleans())
    def crash(self, power: bool) -> None:
        self.pipeline.crash(power=power)

    @rule(name=NAMES, pick=PICK, part=PART, torn=TORN)
    def replay_batch(self, name: str, pick: int, part: int, torn: bool) -> None:
        """A dead batch, whole or (`part`) the first or last member alone."""
        if name in self.pipeline.rows:
            self._replay(name, part, pick, torn=torn)

    @rule(name=NAMES, pick=PICK, every=st.booleans(), torn=TORN)
    def replay_exceptions(self, name: str, pick: int, every: bool, torn: bool) -> None:
        letters = [letter for letter in self._dead() if letter.batch is None and letter.destination == name]
        if name in self.pipeline.rows and letters:
            chosen = letters if every else [choose(letters, pick)]
            self.pipeline.replay_exceptions(name, [letter.seq for letter in chosen], torn=torn)

    @rule(pick=PICK, alone=st.booleans(), torn=TORN)
    def discard(self, pick: int, alone: bool, torn: bool) -> None:
        """One dead letter, or all that died with it."""
        if letters := self._dead():
            first = choose(letters, pick)
            with_it = [other for other in letters if other.batch is not None and other.batch == first.batch]
            self.pipeline.discard([first] if alone or not with_it else with_it, torn=torn)

    @rule(torn=TORN, again=st.booleans())
    def collect(self, torn: bool, again: bool) -> None:
        while self.pipeline.collect(torn=torn) and again:
            self.pipeline.check()

    @rule(after=st.sampled_from([0.0, 2000.0]))
    def prune(self, after: float) -> None:
        self.pipeline.clock.time += after
        self.pipeline.prune()

    @rule(name=NAMES, pick=PICK)
    def take_out_or_put_back(self, name: str, pick: int) -> None:
        """A destination leaves the config, or comes back; an orphan may be forgotten in between."""
        pipeline = self.pipeline
        if name in pipeline.rows:
            if len(pipeline.rows) > 1:
                pipeline.crash(names=[other for other in pipeline.names if other != name])
            return
        if pick % 2 and name in pipeline.known:
            pipeline.forget(name)
        pipeline.crash(names=[*pipeline.names, name])

    @rule(name=NAMES)
    def put_another_in_its_place(self, name: str) -> None:
        """A destination is given up while scans wait for the others, and one of its name is new."""
        pipeline = self.pipeline
        pipeline.ingest([self._new("a")])
        pipeline.crash(names=[other for other in KINDS if other != name])
        if name in pipeline.known:
            pipeline.forget(name)
        pipeline.crash(names=sorted(KINDS))

    @rule(name=NAMES, strict=st.booleans())
    def change_options(self, name: str, strict: bool) -> None:
        """Another key template, and perhaps another limit of the destination."""
        sink = self.pipeline.sinks[name]
        sink.layout += 1
        sink.strict = strict

    @rule(seconds=st.sampled_from([-86400.0, -10.0, 10.0, 86400.0]))
    def clock_jump(self, seconds: float) -> None:
        self.pipeline.clock.time += seconds

    @invariant()
    def promises(self) -> None:
        self.pipeline.check()

    def teardown(self) -> None:
        with self._ending:
            if sys.exc_info()[0] is None:
                self.pipeline.drain()

    def _new(self, group: str, *, large: bool = False) -> Drawn:
        self.fresh += 1
        return Drawn(self.fresh, group=group, large=large, to=sorted(KINDS))

    def _left_of(self, name: str, sealed: Sequence[SealedBatch]) -> list[SealedBatch]:
        first = min(batch.first_seq for batch in sealed)
        return [batch for batch in self.pipeline.waiting(name) if batch.first_seq >= first]

    def _replay(self, name: str, part: int, pick: int = -1, *, torn: bool = False) -> None:
        pipeline = self.pipeline
        if died := batches(pipeline.db, pipeline.rows[name].id, "dead"):
            batch = choose(died, pick)
            seqs = [member.seq for member in members_of(pipeline.db, batch)]
            pipeline.replay_batch(name, batch, {0: seqs, 1: seqs[:1], 2: seqs[-1:]}[part], torn=torn)

    def _dead(self) -> list[dead.DeadLetter]:
        return list(dead.dead_letters(self.pipeline.db))


def choose(items: Sequence[T], pick: int) -> T:
    """One of them, the same for the same pick."""
    return items[pick % len(items)]
