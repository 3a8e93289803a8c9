"""The source of scans by REST, made and run to its end."""

from typing import Any

from support.scripted_scribe import ScriptedScribe
from support.source_run import Notebook, run_source
from support.stepped_clock import SteppedClock

from scribe_connectors.scribe.api import ScribeApiSource
from scribe_connectors.scribe.options import ScribeSourceOptions
from scribe_export.interface import Context


def made(
    api: ScriptedScribe, clock: SteppedClock | None = None, *, once: bool = True, **options: Any
) -> ScribeApiSource:
    """One that reads from `api`, not yet open."""
    context = Context("api", clock=clock or SteppedClock(), once=once)
    return ScribeApiSource(ScribeSourceOptions(url=api.url, **options), context)


async def taken(source: ScribeApiSource, notebook: Notebook, **how: Any) -> None:
    """Open it, run it as `run_source` does, and close it."""
    await source.open()
    try:
        await run_source(source, notebook, **how)
    finally:
        await source.close()


def text(numbers: range) -> list[str]:
    """Scan ids as the journal has them."""
    return [str(number) for number in numbers]
