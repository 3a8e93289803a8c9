"""Text from scans and services, made safe to show on a terminal."""


def printable(text: str, keep: str = "") -> str:
    """`text` with its control characters, but those in `keep`, written as escapes: they could rewrite a screen."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )
