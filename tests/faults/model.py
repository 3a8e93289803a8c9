"""The ledger under test, driven as sources, lanes and operators drive it, and beside it what it owes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from faults.simulated import KINDS, ON_CONFLICT, AtLeastOnce, Broken, Fate, Fateful, Simulated
from faults.surroundings import Attempt, Disk, Drawn, JumpingClock, now

from scribe_export.archives.codec import same_json
from scribe_export.errors import JournalError
from scribe_export.journal import collect as collecting
from scribe_export.journal import dead, destinations
from scribe_export.journal import ingest as ingesting
from scribe_export.journal import seal as sealing
from scribe_export.journal.batches import SealedBatch, batches, members_of
from scribe_export.journal.bodies import fetch_members, fetch_next, read_body
from scribe_export.journal.chain import check_chain
from scribe_export.journal.database import Database
from scribe_export.journal.opening import OpenJournal, open_journal
from scribe_export.lane import cut, sending, settling
from scribe_export.lane.sending import Delivered, Failed, Outcome
from scribe_export.lane.verdict import Evidence
from scribe_export.patterns import RetryPolicy

T = TypeVar("T")
Place = Literal["held", "delivered", "discarded"]
HISTORY = 1000.0


@dataclass(slots=True)
class Pipeline:
    """`owed` is where each scan stands, by destination and sequence number; `bodies` what was acknowledged.

    Destinations are named after their kind, so that one that was forgotten can come again. `torn` commands are done, and
    the process dies before they are committed.
    """

    folder: Path
    disk: Disk
    names: list[str] = field(default_factory=lambda: list(KINDS))
    owed: dict[tuple[str, int], Place] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    in_flight: dict[int, Attempt] = field(default_factory=dict)
    delivered: Counter[str] = field(default_factory=Counter)
    sealed: dict[int, tuple[object, ...]] = field(default_factory=dict)
    members: dict[str, tuple[int, ...]] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    clock: JumpingClock = field(default_factory=JumpingClock)
    sinks: dict[str, Simulated] = field(init=False)
    journal: OpenJournal = field(init=False)
    collector: collecting.Collector = field(init=False)
    rows: dict[str, destinations.DestinationRow] = field(init=False)
    retry: RetryPolicy = field(init=False)

    def __post_init__(self) -> None:
        self.sinks = {name: kind(name) for name, kind in KINDS.items()}
        self.retry = RetryPolicy(max_attempts=2, base_delay=0.0)
        self._open()

    @property
    def db(self) -> Database:
        """The open journal."""
        return self.journal.database

    # The process

    def _open(self) -> None:
        self.journal = open_journal(self.folder, clock=self.clock)
        if list(self.folder.glob("*damaged*")):
            raise Broken("a sound journal was set aside")
        self.collector = collecting.Collector()
        self.in_flight.clear()
        try:
            with self.db.transaction():
                self.rows = destinations.register(self.db, self.names)
        except JournalError:
            # No bit is free: the operator has to take the new destination out again.
            self.names = [name for name in self.names if name in self.known]
            with self.db.transaction():
                self.rows = destinations.register(self.db, self.names)

    @property
    def known(self) -> dict[str, destinations.DestinationRow]:
        """The journal's destinations, orphans too."""
        return {row.name: row for row in destinations.destinations(self.db)}

    def crash(self, *, power: bool = False, names: Sequence[str] | None = None) -> None:
        """The process dies, with `power` the machine; it starts again, with `names` as its destinations."""
        self.journal.close()
        if power:
            self.disk.lose_power(self.folder / "blobs")
        self.names = list(names or self.names)
        self._open()
        files = {f"{path.parent.name}/{path.name}" for path in (self.folder / "blobs").glob("*/*")}
        rows = {row[0] for row in self.db.connection.execute("SELECT blob FROM body WHERE blob IS NOT NULL")}
        if files - rows:
            raise Broken(f"stray blobs after a start: {files - rows}")

    def change(self, command: Callable[[], T], *, torn: bool = False) -> T | None:
        """Do a command in a transaction; None if the process died before its commit."""
        if torn:
            self.db.begin()
            try:
                command()
            finally:
                self.crash()
            return None
        with self.db.transaction():
            return command()

    # Sources

    def ingest(self, drawn: Sequence[Drawn], *, torn: bool = False) -> None:
        """Journal scans; the source is acknowledged."""
        scans = [self._new(item) for item in drawn]
        expected = self._expected(drawn)
        masks = {name: 1 << self.rows[name].id for name in self.rows}
        conflicts = ingesting.ConflictMasks(
            dead_letter=sum(mask for name, mask in masks.items() if ON_CONFLICT[name] == "dead_letter"),
            keep=sum(mask for name, mask in masks.items() if ON_CONFLICT[name] == "keep"),
        )
        results = self.change(lambda: ingesting.ingest(self.db, scans, conflicts=conflicts, source="model"), torn=torn)
        for item, result, outcome in zip(drawn, results or (), expected, strict=bool(results)):
            if result.outcome != outcome:
                raise Broken(f"{item} was taken as {result.outcome}, not as {outcome}")
            if outcome == "duplicate":
                continue
            if result.seq in self.bodies:
                raise Broken(f"number {result.seq} was given twice")
            self.bodies[result.seq] = item.body
            for name in self._owed_to(item, outcome):
                self.owed[name, result.seq] = "held"

    def _new(self, item: Drawn) -> ingesting.NewScan:
        body = item.body
        sha256 = hashlib.sha256(body).hexdigest()
        blob = self.db.blobs.write(body, sha256) if item.large else None
        if not item.valid:
            return ingesting.NewScan(
                f"sha256:{sha256}", sha256, body, "model", invalid=("invalid", "no JSON"), blob=blob
            )
        mask = sum(1 << self.rows[name].id for name in item.to if name in self.rows)
        failed = {self.rows[name].id: "raised" for name in item.failing if name in self.rows and name not in item.to}
        return ingesting.NewScan(str(item.scan_id), sha256, body, "model", mask, failed, blob=blob)

    def _expected(self, drawn: Sequence[Drawn]) -> list[str]:
        rows = self.db.connection.execute(
            "SELECT scan_id, scan.seq, body.seq IS NOT NULL FROM scan LEFT JOIN body USING(seq)"
        ).fetchall()
        known: dict[str, list[tuple[bytes, bool]]] = {}
        for scan_id, seq, kept in rows:
            known.setdefault(scan_id, []).append((self.bodies[seq], bool(kept)))
        expected = []
        for item in drawn:
            body = item.body
            scan_id = str(item.scan_id) if item.valid else f"sha256:{hashlib.sha256(body).hexdigest()}"
            before = known.setdefault(scan_id, [])
            if any(old == body or (kept and same_json(old, body)) for old, kept in before):
                expected.append("duplicate")
                continue
            outcome = "conflict" if before else "new" if item.valid else "invalid"
            before.append((body, bool(self._owed_to(item, outcome))))
            expected.append(outcome)
        return expected

    def _owed_to(self, item: Drawn, outcome: str) -> list[str]:
        if not item.valid:
            return [""]
        named = [name for name in self.rows if name in {*item.to, *item.failing}]
        keeps = outcome == "conflict"
        return [name for name in named if not (keeps and name in item.to and ON_CONFLICT[name] == "keep")]

    # Lanes

    def seal(self, name: str, limit: int, *, torn: bool = False) -> list[SealedBatch]:
        """Seal up to `limit` of the scans that wait."""
        row, sink = self.known[name], self.sinks[name]
        fetched = fetch_next(self.db, row.id, row.sealed_seq, max_records=limit, max_bytes=2**20)
        if fetched.corrupt:
            raise Broken(f"{name}: {fetched.corrupt}")
        groups = cut.group(sink, fetched.records)
        if not fetched.records:
            return []
        command = lambda: sealing.seal(  # noqa: E731 - given to `change`
            self.db,
            row.id,
            groups.members,
            upto=fetched.records[-1].seq,
            shape=sink.shape(),
            by_record=sink.identity == "record",
            refused=groups.refused,
        )
        return self.change(command, torn=torn) or []

    def waiting(self, name: str) -> list[SealedBatch]:
        """Open batches that are not in flight."""
        return [batch for batch in batches(self.db, self.rows[name].id) if batch.id not in self.in_flight]

    def send(self, name: str, batch: SealedBatch, fate: Fate, seed: int = 0) -> None:
        """One attempt, whose outcome the ledger is not told yet."""
        sink = self.sinks[name]
        fetched = fetch_members(self.db, [member.seq for member in members_of(self.db, batch)])
        if fetched.corrupt:
            raise Broken(f"{name}: {batch.batch_id}: {fetched.corrupt}")
        for record in fetched.records:
            if record.body != self.bodies.get(record.seq):
                raise Broken(f"{name}: number {record.seq} is not what was acknowledged")
        sink.next = Fateful(fate, seed)
        fitted = now(sending.encode(sink, batch, fetched.records))
        outcome = fitted if isinstance(fitted, Outcome) else now(sending.write(sink, fitted.encoded))
        if isinstance(outcome, Failed) and isinstance(outcome.error, Broken):
            raise outcome.error
        self.in_flight[batch.id] = Attempt(batch, outcome)

    def settle(self, attempt: Attempt, evidence: Evidence, *, torn: bool = False) -> None:
        """The ledger learns an outcome."""
        batch, outcome = attempt.batch, attempt.outcome
        name = next(name for name, row in self.rows.items() if row.id == batch.destination)
        del self.in_flight[batch.id]
        seqs = [member.seq for member in members_of(self.db, batch)]
        confirmed = set(seqs) if isinstance(outcome, Delivered) else set()
        if isinstance(outcome, Failed):
            confirmed = {seqs[index] for index in getattr(outcome.error, "acked", ())}
        done = settling.settlement(batch, outcome, evidence=evidence, retry=self.retry)
        self.change(lambda: done.command(self.db), torn=torn)
        if torn:
            return
        gone = set(seqs) - self.held(name).keys()
        if not gone <= confirmed or (isinstance(outcome, Delivered) and gone != confirmed):
            raise Broken(f"{name}: {gone} left the ledger, {confirmed} were confirmed")
        for seq in gone:
            if not self.sinks[name].holds(seq):
                raise Broken(f"{name}: number {seq} left the ledger and is not there")
            self.owed[name, seq] = "delivered"
            self.delivered[name] += 1

    # Operators

    def replay_batch(self, name: str, batch: SealedBatch, seqs: Sequence[int], *, torn: bool = False) -> None:
        """Send a dead batch, or some of it, again."""
        whole = len(seqs) == batch.count
        try:
            self.change(lambda: dead.replay_batch(self.db, batch, seqs), torn=torn)
        except JournalError:
            if whole or batch.divisible:
                raise Broken(f"{name}: a replay of {batch.batch_id} was refused") from None

    def replay_exceptions(self, name: str, seqs: Sequence[int], *, torn: bool = False) -> None:
        """Seal refused scans anew, as an operator's replay does."""
        row, sink = self.rows[name], self.sinks[name]
        groups = cut.group(sink, fetch_members(self.db, seqs).records)
        partitions = {member.seq: text for text, members in groups.members.items() for member in members}
        how = dead.Sealing(dict(sink.shape()), sink.identity == "record", partitions)

        def command() -> None:
            dead.replay_exceptions(self.db, row.id, dead.exceptions(self.db, row.id, partitions), how)

        self.change(command, torn=torn)

    def discard(self, letters: Sequence[dead.DeadLetter], *, torn: bool = False) -> None:
        """Give dead letters up."""
        try:
            self.change(lambda: dead.discard(self.db, letters), torn=torn)
        except JournalError:
            return
        if not torn:
            for letter in letters:
                self.owed[letter.destination, letter.seq] = "discarded"

    def forget(self, name: str) -> None:
        """Discard an orphan with its backlog."""
        held = self.held(name)
        count = self.change(lambda: destinations.forget(self.db, name))
        if count != len(held):
            raise Broken(f"{name} held {len(held)} scans, {count} were reported")
        self.owed = {key: place for key, place in self.owed.items() if key[0] != name}
        self.delivered.pop(name, None)
        self.cursors.pop(name, None)

    def collect(self, *, torn: bool = False) -> bool:
        """One slice; True if there is more."""
        return bool(self.change(lambda: self.collector.collect(self.db), torn=torn))

    def collect_all(self) -> None:
        """Slice after slice."""
        while self.collect():
            self.check()

    def prune(self) -> None:
        """Forget what is older than the history."""
        while self.change(lambda: collecting.prune(self.db, HISTORY)):
            pass

    # What must hold

    def held(self, name: str) -> Counter[int]:
        """The scans that the ledger still has to do something about, each as often as it is found."""
        run = self.db.connection.execute
        if not name:
            return Counter(seq for (seq,) in run("SELECT seq FROM delivery WHERE destination=-1"))
        row = self.known[name]
        found: Counter[int] = Counter()
        found.update(
            seq for (seq,) in run("SELECT seq FROM scan WHERE seq > ? AND routes & ?", (row.sealed_seq, 1 << row.id))
        )
        found.update(seq for (seq,) in run("SELECT seq FROM delivery WHERE destination=?", (row.id,)))
        for state in ("open", "dead"):
            for batch in batches(self.db, row.id, state):
                members = [member.seq for member in members_of(self.db, batch)]
                if len(members) != batch.count:
                    raise Broken(f"{name}: {batch.batch_id} has {len(members)} members of {batch.count}")
                found.update(members)
        return found

    def check(self) -> None:
        """After every step."""
        known = self.known
        needed = set()
        for name in ["", *known]:
            held = self.held(name)
            owed = {seq for (to, seq), place in self.owed.items() if to == name and place == "held"}
            if held != Counter(owed):
                raise Broken(f"{name}: the ledger holds {sorted(held.elements())}, it owes {sorted(owed)}")
            needed |= owed
        for seq in needed:
            if read_body(self.db, seq) != self.bodies[seq]:
                raise Broken(f"the body of number {seq} is needed and not there")
        for name, row in known.items():
            if row.delivered != self.delivered[name]:
                raise Broken(f"{name}: {row.delivered} delivered by its counter, {self.delivered[name]} were")
            if row.sealed_seq < self.cursors.get(name, 0) or row.sealed_seq > ingesting.last_seq(self.db):
                raise Broken(f"{name}: the cursor went from {self.cursors.get(name)} to {row.sealed_seq}")
            self.cursors[name] = row.sealed_seq
        self._check_batches()
        self._check_bits(known)
        self._check_copies()
        if broken := check_chain(self.db).broken:
            raise Broken(f"receipts {broken} do not follow from those before")

    def _check_batches(self) -> None:
        for state in ("open", "dead"):
            for batch in batches(self.db, state=state):
                members = tuple(member.seq for member in members_of(self.db, batch))
                identity = (batch.batch_id, batch.name, batch.digest, members, dict(batch.shape))
                if self.sealed.setdefault(batch.id, identity) != identity:
                    raise Broken(f"batch {batch.id} was {self.sealed[batch.id]} and is {identity}")
                if self.members.setdefault(batch.batch_id, members) != members:
                    raise Broken(f"{batch.batch_id} names {self.members[batch.batch_id]} and {members}")

    def _check_bits(self, known: dict[str, destinations.DestinationRow]) -> None:
        for seq, routes in self.db.connection.execute("SELECT seq, routes FROM scan JOIN body USING(seq)"):
            for name, row in known.items():
                if routes >> row.id & 1 and (name, seq) not in self.owed:
                    raise Broken(f"the bit of {name} is set in number {seq}, which was never routed there")

    def _check_copies(self) -> None:
        for name, sink in self.sinks.items():
            twice = {seq: count for seq, count in sink.copies.items() if count > 1}
            if twice and not isinstance(sink, AtLeastOnce):
                raise Broken(f"{name} holds scans more than once: {twice}")

    def drain(self) -> None:
        """Everything is healthy: what is not dead arrives, and bodies that nobody needs are gone."""
        if set(self.names) < set(KINDS):
            self.crash(names=list(KINDS))
        for attempt in list(self.in_flight.values()):
            self.settle(attempt, Evidence(other_got_through=False, alone=False))
        for sink in self.sinks.values():
            sink.layout += 1
        for name in self.rows:
            while self.seal(name, 5):
                self.check()
        self.collect_all()
        for name in self.rows:
            self._send_all(name)
        self.check()
        dead_now = {(letter.destination, letter.seq) for letter in dead.dead_letters(self.db)}
        held = {key for key, place in self.owed.items() if place == "held"}
        if held != dead_now:
            raise Broken(f"neither delivered, dead nor discarded: {held ^ dead_now}")
        for (name, seq), place in self.owed.items():
            if place == "delivered" and not self.sinks[name].holds(seq):
                raise Broken(f"{name} does not have number {seq}")
        self.collect_all()
        left = {row[0] for row in self.db.connection.execute("SELECT seq FROM body")}
        if left != {seq for _, seq in dead_now}:
            raise Broken(f"bodies {left} are kept, {dead_now} need theirs")

    def _send_all(self, name: str) -> None:
        rounds = iter(range(20))
        while opened := self.waiting(name):
            if next(rounds, None) is None:
                raise Broken(f"{name}: {opened} never settle")
            for batch in opened:
                self.send(name, batch, "ok")
                self.settle(self.in_flight[batch.id], Evidence(other_got_through=True, alone=False))
