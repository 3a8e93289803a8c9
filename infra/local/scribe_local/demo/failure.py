"""How a demo fails."""

from scribe_export.errors import ScribeExportError


class DemoFailed(ScribeExportError):
    """The demo cannot start or go on; the message says why, with the end of the log that tells more."""
