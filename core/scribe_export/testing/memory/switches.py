"""The switches of a service that lives in this process, to make it fail on purpose."""

from collections.abc import Iterator
from contextlib import contextmanager


class Switches:
    """Every request passes `arrive` before its effect and `leave` after it; each may raise what a client would."""

    def __init__(self) -> None:
        self.requests = 0
        self._down = self._denying = self._losing = False

    def arrive(self) -> None:
        """Raises ConnectionRefusedError while down, PermissionError while denying."""
        self.requests += 1
        if self._down:
            raise ConnectionRefusedError("nothing listens there")
        if self._denying:
            raise PermissionError("these credentials may not do that")

    def leave(self) -> None:
        """Raises ConnectionResetError while answers are lost."""
        if self._losing:
            raise ConnectionResetError("the connection broke before the answer came")

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nothing can be reached within the block."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    @contextmanager
    def denying(self) -> Iterator[None]:
        """Every request is denied within the block."""
        self._denying = True
        try:
            yield
        finally:
            self._denying = False

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Requests take effect and are not answered within the block."""
        self._losing = True
        try:
            yield
        finally:
            self._losing = False
