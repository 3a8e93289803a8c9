"""What the webhook has not confirmed yet: of each alert only how it stands now."""

from collections.abc import Iterable

from scribe_export.alerts.event import Event, Key


class Outbox:
    """One event waits for each alert and name at most, so it is bounded by them.

    `told` are the alerts that the webhook believes raised. An alert that comes and goes before anybody can have heard
    of it is not told at all. What was kept over a restart may have been heard.
    """

    def __init__(self, told: Iterable[Key] = (), waiting: Iterable[Event] = ()) -> None:
        self.told: set[Key] = set(told)
        self._waiting: dict[Key, Event] = {event.key: event for event in waiting}
        self._perhaps_told: set[Key] = set(self._waiting)
        self._under_way: Key | None = None

    @property
    def waiting(self) -> list[Event]:
        """In the order in which they are to be sent."""
        return list(self._waiting.values())

    def put(self, event: Event) -> None:
        """Let it wait, instead of what waits for the same alert."""
        self._waiting.pop(event.key, None)
        if event.state == "raised" or self._heard(event.key) or event.key == self._under_way:
            self._waiting[event.key] = event

    def begin(self) -> Event:
        """The next one, which is being sent until `sent` or `failed`."""
        event = next(iter(self._waiting.values()))
        self._under_way = event.key
        return event

    def sent(self, event: Event) -> None:
        """It was confirmed."""
        self._under_way = None
        self._perhaps_told.discard(event.key)
        if event.state == "raised":
            self.told.add(event.key)
        else:
            self.told.discard(event.key)
        if self._waiting.get(event.key) is event:
            del self._waiting[event.key]

    def failed(self, event: Event, *, perhaps_told: bool) -> None:
        """It was not confirmed: it waits behind the others, unless another has taken its place."""
        self._under_way = None
        if perhaps_told:
            self._perhaps_told.add(event.key)
        current = self._waiting.pop(event.key, None)
        if current and (current.state == "raised" or self._heard(event.key)):
            self._waiting[event.key] = current

    def _heard(self, key: Key) -> bool:
        return key in self.told or key in self._perhaps_told
