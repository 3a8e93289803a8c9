"""Having an operation done by whoever owns the journal: the exporter that runs, or this process if none does."""

import base64
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec

from scribe_export import config as configuration
from scribe_export.accepted import Accepted
from scribe_export.config import Config
from scribe_export.control import ask, perform
from scribe_export.errors import ScribeExportError, StateOwned
from scribe_export.exporter import Exporter
from scribe_export.scan import encode_document

ATTEMPTS = 50
PAUSE = 0.1
ANSWER = 120.0


def ask_or_do(config: Config, op: str, arguments: Mapping[str, Any], *, timeout: float = ANSWER) -> Any:
    """The answer of an operation of `control`, as JSON values, raises its error.

    `timeout` is how many seconds a running exporter has to answer. If it ends before it does, the operation is done
    here: it has to be one that may come twice.
    """
    if config.buffer == "none":
        raise ScribeExportError(f"{config.path} says buffer: none, so there is no journal for this; leave buffer out")
    for attempt in range(ATTEMPTS):
        try:
            return ask(config.state_folder, op, arguments, timeout)
        except ConnectionError:
            pass
        try:
            return anyio.run(_do_here, config, op, arguments)
        except StateOwned:
            # The owner may just be starting: its socket appears once its journal is open.
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)
    raise AssertionError("unreachable")


def deliver_blocking(path: str | Path, scan: bytes | Mapping[str, Any]) -> Accepted:
    """Journal one scan from plain code: when this returns it is fsynced.

    A running exporter delivers it, or the next one that is started. Raises `ConfigError`, `InvalidScan` or `JournalFull`.
    """
    body = scan if isinstance(scan, bytes) else encode_document(scan)
    arguments = {"bodies": [base64.b64encode(body).decode("ascii")], "source": "python"}
    answer = ask_or_do(configuration.load(path), "send", arguments)
    return msgspec.convert(answer[0], Accepted)


async def _do_here(config: Config, op: str, arguments: Mapping[str, Any]) -> Any:
    async with Exporter(config, sources=False, lanes=False) as exporter:
        return await perform(exporter, op, arguments)
