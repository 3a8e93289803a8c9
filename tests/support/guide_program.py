"""A section of the guide with its usage example, as a program of its own: what its reader starts."""

import asyncio
import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.guide import Defaults, load
from support.pipeline import environment


def example(title: str, *, within: float = 60.0, **settings: Any) -> "subprocess.CompletedProcess[str]":
    """Run it to its end; the settings are those of `started`."""
    with started(title, **settings) as process:
        try:
            out, error = process.communicate(timeout=within)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def started(
    title: str,
    *,
    folder: Path | None = None,
    defaults: Defaults | None = None,
    rabbitmq: int | None = None,
    google: str | None = None,
    imports: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start it, in that folder and with these variables in its environment.

    Hosts and credentials are patched: `defaults` of constructors, `rabbitmq` the broker's port, `google` a project that
    wants no credentials. `imports` are modules by the names that the section should have imported from them.
    """
    patches = {"defaults": defaults, "rabbitmq": rabbitmq, "google": google, "imports": imports}
    return subprocess.Popen(
        [sys.executable, "-m", "support.guide_program", title, json.dumps(patches)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment() | (variables or {}),
    )


def _main(title: str, patches: dict[str, Any]) -> None:
    if patches["rabbitmq"]:
        import pika.connection

        pika.connection.Parameters.DEFAULT_PORT = patches["rabbitmq"]
    if patches["google"]:
        import google.auth
        from google.auth.credentials import AnonymousCredentials

        anonymous = (AnonymousCredentials(), patches["google"])
        google.auth.default = lambda *_, **__: anonymous
    given = {
        name: getattr(importlib.import_module(module), name) for name, module in (patches["imports"] or {}).items()
    }
    # The guide asks the thread's loop for the time; from Python 3.14 on nobody makes one unasked.
    asyncio.set_event_loop(asyncio.new_event_loop())
    load(title, name="__main__", defaults=patches["defaults"], **given)


if __name__ == "__main__":
    # A shell that starts the tests in the background has Ctrl-C ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _main(sys.argv[1], json.loads(sys.argv[2]))
