"""One change of one alert."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

Alert = Literal[
    "destination_held",
    "dead_letters",
    "backlog_old",
    "source_held",
    "source_stopped",
    "source_silent",
    "gap",
    "journal_full",
]
Key = tuple[Alert, str]
"""An alert, and the destination or source that it is about; empty if it is about neither."""


class Event(msgspec.Struct, frozen=True):
    """`since` when the trouble began, `at` when the change was seen; both in seconds since the epoch."""

    alert: Alert
    name: str
    state: Literal["raised", "cleared"]
    reason: str
    since: float
    at: float

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.alert, self.name

    def body(self, pipeline: str) -> bytes:
        """As the webhook gets it: `docs/guide/operation.md` describes it."""
        about = f" {self.name}" if self.name else ""
        return msgspec.json.encode(
            {
                "alert": self.alert,
                "state": self.state,
                "pipeline": pipeline,
                "name": self.name,
                "reason": self.reason,
                "since": iso(self.since),
                "at": iso(self.at),
                "text": f"{pipeline}: {self.alert}{about} {self.state}: {self.reason}",
            }
        )


def iso(seconds: float) -> str:
    """ISO 8601, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
