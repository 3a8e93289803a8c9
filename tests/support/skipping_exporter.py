"""The exporter, spoilt: it acknowledges three of its source's scans without journalling them. Run as a script."""

from collections.abc import Sequence
from typing import Any

import msgspec

from scribe_export.cli import main
from scribe_export.intake import Intake

SKIPPED = (7, 20, 33)

_prepare = Intake.prepare


async def _skipping(intake: Intake, incoming: Sequence[Any], *arguments: Any) -> Any:
    kept = [each for each in incoming if msgspec.json.decode(each.body)["scan_id"] not in SKIPPED]
    return await _prepare(intake, kept, *arguments)


if __name__ == "__main__":
    setattr(Intake, "prepare", _skipping)  # noqa: B010 - the type checker rightly refuses a plain assignment
    main()
