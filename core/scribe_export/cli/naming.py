"""A name that an operator types is one that the journal knows, or a mistake."""

from pathlib import Path

import click

from scribe_export.journal.destinations import masks
from scribe_export.journal.looking import reading
from scribe_export.suggest import did_you_mean


def check_destination(folder: Path, name: str | None) -> None:
    """Raise a usage error for a destination that the journal of a state folder never had."""
    if name is None:
        return
    with reading(folder) as db:
        known = masks(db)
    if name not in known:
        raise click.UsageError(f'the journal knows no destination "{name}"{did_you_mean(name, known)}')
