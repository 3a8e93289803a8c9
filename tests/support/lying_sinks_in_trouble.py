"""Sinks that lie when they encode and when their service fails, in one way each."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import anyio
from support.lying_sinks import TWINS

from scribe_export.errors import Misconfigured, PartialFailure, Rejected, Transient
from scribe_export.model import Batch, BatchLimits, Encoded, Usage
from scribe_export.testing.memory import MemorySink
from scribe_export.testing.memory.sink import Put

__all__ = ["TWINS"]

lie = TWINS.caught_by


@lie("encode_gives_the_same_bytes_each_time")
class StampsWhatItEncodes(MemorySink):
    encoded = 0

    def encode(self, batch: Batch) -> Encoded:
        self.encoded += 1
        encoded = super().encode(batch)
        return replace(encoded, payload={"puts": encoded.payload, "stamp": self.encoded})

    async def write(self, encoded: Encoded) -> str | None:
        return await super().write(replace(encoded, payload=encoded.payload["puts"]))


@lie("encode_gives_the_same_bytes_each_time", "a_sealed_batch_keeps_its_shape_when_options_change")
class EncodesTheTimeOfDay(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        return replace(super().encode(batch), size=time.time_ns())


@lie("encode_needs_neither_network_nor_open")
class LooksUpWhileEncoding(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        with suppress(OSError), socket.create_connection(("127.0.0.1", 9), timeout=1):
            pass
        return super().encode(batch)


@lie("encode_needs_neither_network_nor_open")
class AsksTheServiceWhileEncoding(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        # By the back door, as a client in C would: only the service's own count tells.
        self.service.requests += batch.attempt == 1 and not getattr(self, "asked", False) and not self.is_open
        self.asked = True
        return super().encode(batch)

    is_open = False

    async def open(self) -> None:
        self.is_open = True


@lie(
    "encode_needs_neither_network_nor_open",
    "encode_gives_the_same_bytes_each_time",
    "a_sealed_batch_keeps_its_shape_when_options_change",
)
class EncodesOnlyWhenOpen(MemorySink):
    prefix: str

    async def open(self) -> None:
        self.prefix = ""

    def encode(self, batch: Batch) -> Encoded:
        if not hasattr(self, "prefix"):
            raise RuntimeError("not open")
        return super().encode(batch)


@lie("a_sealed_batch_keeps_its_shape_when_options_change")
class ReadsOptionsInsteadOfShape(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        return super().encode(replace(batch, shape=self.shape()))


@lie("refused_records_are_named_and_the_others_go")
class RefusesTheWholeBatch(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        if not encoded.refused:
            return encoded
        return replace(encoded, refused={index: Rejected("too large") for index in range(len(batch.records))})


@lie("the_largest_record_arrives_and_a_larger_one_is_refused")
class TakesOneByteTooMany(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        declared = self.limits
        assert declared.max_record_bytes
        self.limits = BatchLimits(declared.max_records, declared.max_bytes, declared.max_record_bytes + 1)
        encoded = super().encode(batch)
        self.limits = declared
        return encoded


@lie("the_largest_record_arrives_and_a_larger_one_is_refused")
class RefusesTheLargestItDeclares(MemorySink):
    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        sizes = [len(record.body) for record in batch.records]
        if sizes == [self.limits.max_record_bytes]:
            return replace(encoded, refused={0: Rejected("too large")})
        return encoded


@lie("concurrent_writes_all_arrive", "close_during_writes_loses_nothing_it_acked")
class SharesOneBufferBetweenWrites(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        self.buffer = encoded
        await anyio.lowlevel.checkpoint()
        return await super().write(self.buffer)


class NamesByHand(MemorySink):
    def name_of(self, scan_id: str) -> str:
        raise NotImplementedError

    def encode(self, batch: Batch) -> Encoded:
        encoded = super().encode(batch)
        prefix = batch.shape["prefix"]
        puts = [replace(put, name=prefix + self.name_of(put.rows[0][0])) for put in encoded.payload]
        return replace(encoded, payload=tuple(puts))


@lie("odd_ids_stay_apart_and_inside")
class LeavesItsFolder(NamesByHand):
    def name_of(self, scan_id: str) -> str:
        return scan_id


@lie("odd_ids_stay_apart_and_inside")
class LetsOddIdsMeet(NamesByHand):
    def name_of(self, scan_id: str) -> str:
        return "".join(char if char.isalnum() else "_" for char in scan_id)


@lie("odd_ids_stay_apart_and_inside")
class CutsLongIds(NamesByHand):
    def name_of(self, scan_id: str) -> str:
        return scan_id.encode().hex()[:500]


@lie("a_failed_record_is_reported_and_the_others_acked")
class ForgetsFailedEntries(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except PartialFailure:
            return None


@lie("a_failed_record_is_reported_and_the_others_acked")
class FailsTheWholeBatchForOne(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except PartialFailure as error:
            raise Transient(str(error), applied="no") from error


@lie("a_failed_record_is_reported_and_the_others_acked")
class AcksWhatFailed(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except PartialFailure as error:
            raise PartialFailure(range(len(encoded.batch.records)), error.errors) from error


@lie("a_failed_record_is_reported_and_the_others_acked")
class NamesTheWrongRecord(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except PartialFailure as error:
            wrong = {(index + 1) % len(encoded.batch.records): why for index, why in error.errors.items()}
            raise PartialFailure(set(range(len(encoded.batch.records))) - set(wrong), wrong) from error


@lie("a_service_that_is_down_acks_nothing")
class SwallowsErrors(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except Transient as error:
            if error.applied == "no" and len(encoded.payload) > 1:
                return None
            raise


@lie("a_service_that_is_down_acks_nothing")
class LetsTheClientsErrorsOut(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except Transient as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise error.__cause__ from None
            raise


@lie("a_service_that_is_down_acks_nothing")
class GivesUpRecordsInAnOutage(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except Transient as error:
            raise (Rejected(str(error)) if error.applied == "no" else error) from error


@lie("denied_credentials_are_misconfigured")
class GivesUpRecordsWhenDenied(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except Misconfigured as error:
            raise Rejected(str(error)) from error


@lie("write_does_not_retry")
class RetriesInside(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        for _ in range(2):
            with suppress(Transient):
                return await self.once(encoded)
        return await super().write(encoded)

    async def once(self, encoded: Encoded) -> str | None:
        return await super().write(encoded)


@lie("a_lost_answer_is_unknown_and_a_repeat_mends_it")
class SaysNoWhenItDoesNotKnow(MemorySink):
    async def write(self, encoded: Encoded) -> str | None:
        try:
            return await super().write(encoded)
        except Transient as error:
            raise Transient(str(error), applied="no") from error


@lie("a_lost_answer_is_unknown_and_a_repeat_mends_it")
class RenamesAfterALostAnswer(MemorySink):
    tries = 0

    async def write(self, encoded: Encoded) -> str | None:
        puts: Sequence[Put] = encoded.payload
        if self.tries:
            puts = [replace(put, name=f"{put.name}-{self.tries}") for put in puts]
        try:
            return await super().write(replace(encoded, payload=puts))
        except Transient as error:
            self.tries += error.applied == "unknown"
            raise


@lie("usage_is_of_known_units_and_finite")
class MisspellsWhatItCounts(MemorySink):
    def usage(self, encoded: Encoded) -> Usage:
        return Usage({"requests": 1, "aws_s3.put_request": 1})


@lie("usage_is_of_known_units_and_finite")
class CountsMinusOne(MemorySink):
    def usage(self, encoded: Encoded) -> Usage:
        return Usage({"requests": 1}, {"stored_bytes": -1})


@lie("usage_is_the_same_each_time")
class CountsFirstAttemptsOnly(MemorySink):
    def usage(self, encoded: Encoded) -> Usage:
        return super().usage(encoded) if encoded.batch.attempt == 1 else Usage()


@lie("usage_is_the_same_each_time")
class AddsUpByItself(MemorySink):
    total = 0.0

    def usage(self, encoded: Encoded) -> Usage:
        self.total += 1
        return Usage({"requests": 1, "bytes_sent": self.total})


@lie("usage_counts_the_requests_that_are_made")
class CountsARequestForEachScan(MemorySink):
    def usage(self, encoded: Encoded) -> Usage:
        return Usage({"requests": len(encoded.batch.records)})
