"""Word to a service manager: ready, alive, stopping.

The protocol is systemd's, datagrams to the socket that it names in the environment
(https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html); without one nothing is sent.
"""

import os
import socket

import anyio

from scribe_export.clock import Clock
from scribe_export.journal.store import Store

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def notify(state: str) -> None:
    """Send a state; a manager that cannot be reached is none of our business."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.settimeout(0)  # a full queue must not hold up a delivery
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return


def watchdog_seconds() -> float | None:
    """How long the manager waits for a sign of life before it kills this process; None if it does not."""
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    micros = os.environ.get("WATCHDOG_USEC", "")
    return int(micros) / 1e6 if mine and micros.isdigit() and int(micros) else None


async def stay_alive(store: Store, clock: Clock) -> None:
    """Give a sign of life for as long as both the event loop and the journal's thread answer; at once if nobody asks.

    A thread that makes the journal's file anew for an operator cannot answer, and is alive.
    """
    seconds = watchdog_seconds()
    if seconds is None:
        return
    while True:
        with anyio.move_on_after(seconds / 3) as waiting:
            await store.do(lambda _: None)
        if not waiting.cancelled_caught or store.database.rebuilding:
            notify(ALIVE)
        await clock.sleep(seconds / 3)
