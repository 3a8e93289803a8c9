"""Whether the disk holds what the journal may grow to."""

import os
import shutil
from pathlib import Path

from scribe_export.config.result import Config
from scribe_export.errors import ConfigError


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
            f"the journal may grow by {_shown(wanted)} with its ballast, and {there} has {_shown(free)} free; "
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


def _shown(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
