"""Keeps what came from the environment, from files or into secret options out of messages."""

from collections.abc import Collection

HIDDEN = "***"
_TELLING = 5  # characters in a row that give a value away even when a message shows only part of it


def scrubbed(message: str, hidden: Collection[str]) -> str:
    """The message without the texts of `hidden`; where parts of one remain, nothing but that it is wrong."""
    for text in sorted(hidden, key=len, reverse=True):
        for shown in (text, repr(text)[1:-1]):
            message = message.replace(shown, HIDDEN) if shown else message
    if any(_shares(message.casefold(), text.casefold()) for text in hidden):
        return "this value is not accepted; it is not shown, because it may be a secret"
    return message


def _shares(message: str, text: str) -> bool:
    # A scheme is no secret, and messages about URLs name it.
    text = text.partition("://")[2] or text
    return any(text[start : start + _TELLING] in message for start in range(len(text) - _TELLING + 1))
