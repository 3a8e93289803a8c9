"""Arrivals become batches and the batches requests, as their lanes would make them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from scribe_export.claims import ClaimHolder
from scribe_export.config import Config
from scribe_export.config.result import Built
from scribe_export.errors import SinkError
from scribe_export.identify import Origin
from scribe_export.interface import Sink
from scribe_export.journal.batches import id_of_batch, member_digest
from scribe_export.lane.cut import BatchBounds, group
from scribe_export.model import Batch, Incoming, Record, Request
from scribe_export.options import SinkOptions
from scribe_export.oversize import ANY_SHA256, Fitted, claim_key, fit, sealed_shape
from scribe_export.planning.arrivals import Arrivals
from scribe_export.planning.planned import Fate, Plan, PlannedBatch, PlannedDestination, PlannedRequest, PlannedScan


@dataclass(frozen=True, slots=True)
class Place:
    """The journal that the scans are thought to come to.

    Ids of batches are made of its uuid; without a journal they are those of one whose uuid is all zeros. `received_at`
    is the moment of journalling, seconds since the epoch.
    """

    received_at: float
    uuid: str = "0" * 32


async def plan(
    config: Config, incoming: Iterable[Incoming], *, place: Place, source: str = "send", scope: str | None = None
) -> Plan:
    """What would become of these bodies if they came at once from `source`; nothing is opened, written or sent."""
    arrivals = Arrivals()
    # The one for dead letters gets no scans.
    scans = {name: built for name, built in config.destinations.items() if name != config.dead_letter}
    arrivals.add(replace(config, destinations=scans), incoming, Origin(source, scope), place.received_at)
    shapes: dict[str, int] = {}
    destinations = [
        await _Lane(config, built, number, place, shapes).plan(arrivals.records.get(built.name, ()))
        for number, built in enumerate(config.destinations.values())
        if built.name in scans
    ]
    return Plan(arrivals.scans, destinations)


@dataclass(slots=True)
class _Lane:
    config: Config
    built: Built[SinkOptions]
    number: int
    place: Place
    shapes: dict[str, int]
    sink: Sink = field(init=False)
    store: tuple[str, ClaimHolder] | None = field(init=False)
    fates: dict[int, Fate] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sink = cast("Sink", self._connector(self.built))
        store = self.built.options.oversize.destination
        self.store = (store, cast("ClaimHolder", self._connector(self.config.destinations[store]))) if store else None

    def _connector(self, built: Built[SinkOptions]) -> object:
        return built.connector(built.options, self.config.context(built.name))

    async def plan(self, arrived: Sequence[tuple[Record, PlannedScan]]) -> PlannedDestination:
        planned = PlannedDestination(self.built.name, self.built.options.type, self.sink.effect)
        self.fates = {record.seq: scan.fates[self.built.name] for record, scan in arrived}
        for members in _cut([record for record, _ in arrived], BatchBounds.of(self.sink)):
            groups = group(self.sink, members)
            for seq, (kind, why) in groups.refused.items():
                self._refuse(seq, kind, why)
            location = self.store[1].location(claim_key(ANY_SHA256)) if self.store else None
            shape = sealed_shape(self.sink, location)
            for partition, records in groups.members.items():
                batch = await self._batch(partition, records, shape)
                planned.batches += [batch] if batch else []
        return planned

    async def _batch(self, partition: str, records: list[Record], shape: Mapping[str, object]) -> PlannedBatch | None:
        """Seal, encode, and seal the rest anew without what was refused, until nothing is."""
        while records:
            batch = self._sealed(partition, records, shape)
            planned = PlannedBatch(
                batch.id, batch.name, [record.scan_id for record in records], sum(record.size for record in records)
            )
            try:
                fitted = fit(self.sink, batch)
            except Exception as error:  # noqa: BLE001 - a sink's bug is part of the plan
                planned.problem = _said(error)
                return planned
            if not fitted.encoded.refused:
                await self._show(planned, fitted)
                return planned
            for index, refusal in fitted.encoded.refused.items():
                self._refuse(records[index].seq, refusal.kind, str(refusal))
            records = [record for index, record in enumerate(records) if index not in fitted.encoded.refused]
        return None

    def _sealed(self, partition: str, records: list[Record], shape: Mapping[str, object]) -> Batch:
        text = json.dumps(shape, sort_keys=True)
        digest = member_digest(self.place.uuid, self.number, records)
        row = self.shapes.setdefault(text, len(self.shapes) + 1)
        number = id_of_batch(records[0].seq, digest, partition, row)
        return Batch(number, partition.replace("{batch_id}", number), tuple(records), digest, json.loads(text))

    async def _show(self, planned: PlannedBatch, fitted: Fitted) -> None:
        records = fitted.encoded.batch.records
        for index, record in enumerate(records):
            fate = self.fates[record.seq]
            fate.batch = planned.id
            if index in fitted.trimmed:
                fate.verdict, fate.why = "trimmed", f"too large; {self._left_out()} is left out"
            elif index in fitted.claims and self.store:
                key = claim_key(fitted.claims[index].sha256)
                fate.verdict = "claim_checked"
                fate.why = f"too large; the whole of it goes to {self.store[0]} as {key}, and a pointer is sent"
        try:
            if self.store:
                planned.store = self.store[0] if fitted.claims else ""
                for record in fitted.claims.values():
                    requests = await self.store[1].preview_keep(claim_key(record.sha256), record)
                    planned.claims += [PlannedRequest(request, (record.scan_id,)) for request in requests]
            planned.requests = [_request(request, records) for request in await self.sink.preview(fitted.encoded)]
        except Exception as error:  # noqa: BLE001 - whatever a client says of its settings is told
            planned.problem = _said(error)

    def _left_out(self) -> str:
        return " and ".join(self.built.options.oversize.trim)

    def _refuse(self, seq: int, kind: str, why: str) -> None:
        fate = self.fates[seq]
        fate.verdict, fate.kind, fate.why = "refused", kind, why


def _cut(records: Sequence[Record], bounds: BatchBounds) -> Iterator[list[Record]]:
    """What a lane that finds all of them waiting takes at a time."""
    taken: list[Record] = []
    size = 0
    for record in records:
        if taken and (len(taken) >= bounds.max_records or size + record.size > bounds.max_bytes):
            yield taken
            taken, size = [], 0
        taken.append(record)
        size += record.size
    if taken:
        yield taken


def _request(request: Request, records: Sequence[Record]) -> PlannedRequest:
    return PlannedRequest(request, tuple(records[index].scan_id for index in request.records))


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SinkError) else f"{type(error).__name__}: {error}"
