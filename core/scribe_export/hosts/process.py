"""The exporter of this process."""

import os
import threading

from scribe_export.hosts.resident import Resident
from scribe_export.hosts.settings import config_of

_resident: Resident | None = None
_making = threading.Lock()


def resident() -> Resident:
    """The same for all who ask, of the config that the environment names; raises `ConfigError`."""
    global _resident  # noqa: PLW0603 - platforms call a function or an application, with nothing of ours in their hands
    with _making:
        if _resident is None:
            _resident = Resident(config_of(os.environ))
            threading.Thread(target=_close_at_exit, args=(_resident,), name="scribe-export-exit").start()
        return _resident


def _close_at_exit(resident: Resident) -> None:
    # The interpreter waits for other threads before it calls what is registered with atexit.
    threading.main_thread().join()
    resident.close()
