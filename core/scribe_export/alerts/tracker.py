"""From what is found, look by look, to what changed."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from scribe_export.alerts.event import Event, Key
from scribe_export.alerts.rules import Finding

REASON_LENGTH = 500
_NEVER = float("-inf")


class Standing(msgspec.Struct, frozen=True):
    """An alert that is raised: how that was told last, and its number then."""

    event: Event
    count: int = 0


class Tracker:
    """An alert is raised when something is bad, and cleared when it is well.

    One whose number grows is raised once more if the number has not grown for `quiet` seconds before.
    """

    def __init__(self, quiet: float, standing: Iterable[Standing] = ()) -> None:
        self.standing: dict[Key, Standing] = {one.event.key: one for one in standing}
        self._quiet = quiet
        self._grown: dict[Key, tuple[int, float]] = {}

    def follow(self, found: Iterable[Finding], *, at: float, moment: float) -> list[Event]:
        """The changes since the last look; `at` is the time now, `moment` the same on the monotonic clock."""
        by_key: dict[Key, Finding] = {(one.alert, one.name): one for one in found}
        events = [event for key, finding in by_key.items() if (event := self._judged(key, finding, at, moment))]
        gone = [key for key in self.standing if key not in by_key]
        return events + [self._cleared(key, "nobody watches it any more", at) for key in gone]

    def _judged(self, key: Key, finding: Finding, at: float, moment: float) -> Event | None:
        if finding.status == "bad":
            return self._bad(key, finding, at, moment)
        if finding.status == "well":
            self._grown.pop(key, None)
            if key in self.standing:
                return self._cleared(key, finding.reason, at)
        return None

    def _bad(self, key: Key, finding: Finding, at: float, moment: float) -> Event | None:
        standing = self.standing.get(key)
        grew_anew = self._grew_anew(key, finding.count, moment)
        if standing is None:
            return self._raised(key, finding, at - finding.lasted, at)
        return self._raised(key, finding, standing.event.since, at) if grew_anew else None

    def _grew_anew(self, key: Key, count: int, moment: float) -> bool:
        standing = self.standing.get(key)
        before, grown_at = self._grown.get(key, (standing.count if standing else 0, _NEVER))
        grew = count > before
        self._grown[key] = (count, moment if grew else grown_at)
        return grew and moment - grown_at >= self._quiet

    def _raised(self, key: Key, finding: Finding, since: float, at: float) -> Event:
        event = _event(key, "raised", finding.reason, since, at)
        self.standing[key] = Standing(event, finding.count)
        return event

    def _cleared(self, key: Key, reason: str, at: float) -> Event:
        return _event(key, "cleared", reason, self.standing.pop(key).event.since, at)


def _event(key: Key, state: Literal["raised", "cleared"], reason: str, since: float, at: float) -> Event:
    return Event(key[0], key[1], state, reason[:REASON_LENGTH], since, at)
