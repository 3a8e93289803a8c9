"""How a contract says what it found."""

from collections.abc import Iterator
from contextlib import contextmanager

from scribe_export.errors import SinkError


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with `message` unless `condition` holds; works under ``python -O`` too."""
    if not condition:
        raise AssertionError(message)


class Caught:
    """What a guarded block raised, if anything."""

    error: SinkError | None = None


@contextmanager
def known_errors(what: str) -> Iterator[Caught]:
    """Catch a `SinkError`; anything else that the block raises breaks the contract."""
    caught = Caught()
    try:
        yield caught
    except SinkError as error:
        caught.error = error
    except Exception as error:
        raise AssertionError(
            f"{what} raised a bare {type(error).__name__}: {error}; "
            "turn what the client raises into an error of scribe_export.errors"
        ) from error


def innermost(error: Exception) -> Exception:
    """What a task group wrapped, where it is only one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
