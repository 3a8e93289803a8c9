"""Whoever takes alerts by webhook."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.front import Answer, Front, Received


class Receiver(Front):
    """Answers every request with 200, unless told otherwise; nothing is behind it. `alerts` are those it confirmed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(0, unavailable=Answer(503), denied=Answer(401), **options)
        self.confirmed: list[Received] = []
        self._script = self._confirm

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(came.body) for came in self.confirmed]

    def told(self, alert: str) -> list[tuple[str, str]]:
        """The states of one alert, each with the name it is about, in the order in which they were told."""
        return [(told["name"], told["state"]) for told in self.alerts if told["alert"] == alert]

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """No request is answered within the block."""
        released = threading.Event()

        def hang(came: Received) -> Answer:
            released.wait()
            return Answer(503)

        before, self._script = self._script, hang
        try:
            yield
        finally:
            self._script = before
            released.set()

    def _confirm(self, came: Received) -> Answer:
        self.confirmed.append(came)
        return Answer(200)
