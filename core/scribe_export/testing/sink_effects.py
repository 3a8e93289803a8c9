"""That the effect class a sink declares is the one it has."""

from collections.abc import Sequence

import anyio

from scribe_export.model import EffectClass, Record
from scribe_export.testing.destination import Destination
from scribe_export.testing.expect import expect
from scribe_export.testing.sealing import opened, send_all
from scribe_export.testing.sink_fixtures import MakeRecords, MakeSink, SinkFixtures, expect_held


class SinkEffects(SinkFixtures):
    """A batch may come again after an error, a crash or a lost answer; the effect class says what it then does."""

    def test_effect_and_identity_are_declared_and_agree(self, sink: MakeSink) -> None:
        subject = sink()
        effect, identity = subject.effect, subject.identity
        expect(effect.by.strip(), f"`effect` must say by what it holds, it is {effect!r}")
        expect(identity in {"record", "batch"}, f"`identity` must be 'record' or 'batch', it is {identity!r}")
        expect(
            effect.kind is not EffectClass.EXACT or identity == "record",
            "effect 'exact' promises each scan once however it is grouped, which needs identity 'record'; "
            "a destination that recognises batches has the class 'exact per batch'",
        )
        expect(
            effect.kind is not EffectClass.EXACT_PER_BATCH or identity == "batch",
            "effect 'exact per batch' needs identity 'batch', else the lane regroups what the destination cannot tell",
        )

    def test_a_repeated_batch_has_the_declared_effect(
        self, sink: MakeSink, destination: Destination, records: MakeRecords
    ) -> None:
        async def check() -> None:
            async with opened(sink()) as subject:
                sent = _two(records, subject.limits.max_records)
                for attempt in (1, 2, 3):
                    await send_all(subject, sent, attempt=attempt)
            await expect_held(destination, sent, subject, "the same batch written three times")

        anyio.run(check)

    def test_a_batch_repeated_after_a_restart_has_the_declared_effect(
        self, sink: MakeSink, destination: Destination, records: MakeRecords
    ) -> None:
        async def check() -> None:
            for attempt in (1, 2):
                async with opened(sink()) as subject:
                    sent = _two(records, subject.limits.max_records)
                    await send_all(subject, sent, attempt=attempt)
            await expect_held(destination, sent, subject, "the same batch written again by a new sink")

        anyio.run(check)

    def test_regrouped_records_have_the_declared_effect(
        self, sink: MakeSink, destination: Destination, records: MakeRecords
    ) -> None:
        async def check() -> None:
            async with opened(sink()) as subject:
                sent = _two(records, subject.limits.max_records)
                await send_all(subject, sent)
                if subject.identity == "record":
                    for record in reversed(sent):
                        await send_all(subject, [record], journal="regrouped")
            await expect_held(destination, sent, subject, "the same records written again in other batches")

        anyio.run(check)


def _two(records: MakeRecords, max_records: int | None) -> Sequence[Record]:
    return records(1 if max_records == 1 else 2)
