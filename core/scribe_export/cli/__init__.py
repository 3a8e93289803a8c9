"""The command line. Commands are modules of their own, loaded when named."""

from scribe_export.cli.main import main

__all__ = ["main"]
