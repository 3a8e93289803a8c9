"""Logging: readable on a terminal, JSON lines anywhere else, always on stderr."""

import logging
import sys
from typing import TextIO, cast

import structlog

from scribe_export.redaction import RedactingStream


def configure(level: str = "info") -> None:
    """Set structlog and the standard library's logging up for a command; SDKs speak from WARNING on.

    Secrets of the config are in no line, whoever writes it.
    """
    stream = RedactingStream(sys.stderr)
    number = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", stream)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        stream=cast("TextIO", stream), level=max(number, logging.WARNING), format="%(levelname)s %(name)s: %(message)s"
    )
