"""Whether the disk holds what the journal may grow to."""

import os
import shutil
from pathlib import Path

from scribe_export.config.result import Config
from scribe_export.errors import ConfigError
from scribe_export.sizes import shown_size


def check_room(config: Config, *, ballast: int) -> None:
    """Raise `ConfigError` if `journal.quota` and `ballast` bytes are more than what is free and already used for them.

    Separate from loading, because it says something about this machine's disk at this moment.
    """
    state = config.state_folder
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    wanted = config.journal.quota + ballast - _used(state)
    if wanted > free:
        message = (
            f"the journal may grow by {shown_size(wanted)} with its ballast, and {there} has {shown_size(free)} free; "
            "lower journal.quota, or set state_dir on a larger disk"
        )
        raise ConfigError([config.problem("journal.quota", message)])


def _used(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).stat().st_size
            except FileNotFoundError:
                continue  # a running exporter has just collected it
    return total
