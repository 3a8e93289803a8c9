"""`resume`: see `pause`."""

from scribe_export.cli.pause import resume as command

__all__ = ["command"]
