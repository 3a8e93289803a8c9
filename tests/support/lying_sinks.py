"""Sinks that lie about what arrives, in one way each."""

from dataclasses import replace
from typing import Any

import anyio
from support.twins import Twins

from scribe_export.errors import PartialFailure, Rejected, Transient
from scribe_export.model import Batch, Effect, EffectClass, Encoded
from scribe_export.testing.memory import MemorySink
from scribe_export.testing.sink_contract import SinkContract

TWINS = Twins(SinkContract)
lie = TWINS.caught_by


@lie("it_opens_and_closes_without_effect")
class LeavesAProbe(MemorySink):
    async def open(self) -> None:
        self.service.log.append(("probe", b"{}"))

    async def write(self, encoded: Encoded) -> str | None:
        self.service.log.clear()
        return await super().write(encoded)


@lie("close_is_safe_twice_and_before_open")
class ClosesOnceOnly(MemorySink):
    is_open = False

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        if not self.is_open:
            raise RuntimeError("not open")
        self.is_open = False


@lie("open_works_after_an_open_that_failed")
class NeverRecoversFromAFailedOpen(MemorySink):
    broken = False

    async def open(self) -> None:
        try:
            self.service.arrive()
        except ConnectionRefusedError:
            self.broken = True
        if self.broken:
            raise Transient("cannot connect", applied="no")


@lie("close_during_writes_loses_nothing_it_acked")
class AcksWhatItDropsWhenClosed(MemorySink):
    closed = False

    async def close(self) -> None:
        self.closed = True

    async def write(self, encoded: Encoded) -> str | None:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return None if self.closed else await super().write(encoded)


@lie("a_record_arrives_as_it_was_sent")
class ReformatsBodies(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        puts = [replace(put, rows=tuple((name, body + b" ") for name, body in put.rows)) for put in encoded.payload]
        return replace(encoded, payload=tuple(puts))


@lie("the_effect_is_there_when_write_returns", "usage_counts_the_requests_that_are_made")
class AcksBeforeItWrites(MemorySink):
    closed = False

    async def open(self) -> None:
        self.later: list[Encoded] = []

    async def close(self) -> None:
        self.closed = True
        for encoded in getattr(self, "later", []):
            await super().write(encoded)

    async def write(self, encoded: Encoded) -> str | None:
        service = self.service
        if self.closed or service._down or service._denying or service._losing or service._busy:
            return await super().write(encoded)
        self.later.append(encoded)
        return None


@lie("a_full_batch_arrives")
class KeepsTheFirstTwentyOfABatch(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        return await super().write(replace(encoded, payload=encoded.payload[:20]))


@lie("a_full_batch_arrives")
class TakesFewerThanItSays(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        if len(encoded.batch.records) > 50:
            raise Rejected("too many")
        return await super().write(encoded)


@lie("a_batch_of_the_most_bytes_arrives")
class TakesFewerBytesThanItSays(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        if encoded.size > 800_000:
            raise Transient("too large", applied="no")
        return await super().write(encoded)


@lie("effect_and_identity_are_declared_and_agree")
class CallsABatchExact(MemorySink):
    identity = "batch"

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.identity = "batch"


@lie("effect_and_identity_are_declared_and_agree")
class DoesNotSayByWhat(MemorySink):
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.effect = Effect(EffectClass.EXACT, "")


@lie("a_repeated_batch_has_the_declared_effect")
class DoublesOnARepeat(MemorySink):
    async def open(self) -> None:
        self.done: set[str] = set()

    async def write(self, encoded: Encoded) -> str | None:
        answer = await super().write(encoded)
        if encoded.batch.id in self.done:
            self.service.log += [(record.scan_id, record.body) for record in encoded.batch.records]
        self.done.add(encoded.batch.id)
        return answer


@lie("a_batch_repeated_after_a_restart_has_the_declared_effect", "a_sealed_batch_keeps_its_shape_when_options_change")
class RemembersOnlyInMemory(MemorySink):
    async def open(self) -> None:
        self.written: set[str] = set()

    async def write(self, encoded: Encoded) -> str | None:
        puts = [put for put in encoded.payload if put.rows[0][0] not in self.written]
        names = [record.scan_id for record in encoded.batch.records if record.scan_id not in self.written]
        try:
            answer = await super().write(replace(encoded, payload=[replace(put, name=None) for put in puts]))
        except PartialFailure as error:
            self.written.update(names[index] for index in error.acked)
            raise
        except Transient as error:
            self.written.update(names if error.applied == "unknown" else ())
            raise
        self.written.update(names)
        return answer


@lie("regrouped_records_have_the_declared_effect")
class NamesRecordsByTheirBatch(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        puts = [replace(put, name=f"{batch.id}/{put.name}") for put in encoded.payload]
        return replace(encoded, payload=tuple(puts))
