"""What a destination's effect class becomes where no journal remembers what was in a batch."""

from scribe_export.interface import Sink
from scribe_export.model import Effect, EffectClass


def effect_without_journal(sink: Sink) -> Effect:
    """A scan that is delivered again by its queue comes in another batch, maybe of another process, and maybe late."""
    if sink.options.on_conflict == "overwrite":
        return Effect(
            EffectClass.AT_LEAST_ONCE,
            "with buffer: none an older scan that its queue brings again replaces a newer one",
        )
    if sink.identity == "record" and sink.effect.kind is not EffectClass.EXACT_PER_BATCH:
        return sink.effect
    return Effect(EffectClass.AT_LEAST_ONCE, "with buffer: none a scan that its queue brings again is in another batch")
