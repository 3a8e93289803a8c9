"""The acts in which the archive goes away and the exporter is killed."""

import time

from scribe_local.demo import readback
from scribe_local.demo.stage import Rows, Stage, delivered, pending
from scribe_local.demo.world import Archive
from scribe_local.proxy import Mode

_FLOWED = 30
_ANSWER_DELAY = 2.0


def goes_down(stage: Stage, archive: Archive) -> None:
    """Nobody answers where the archive was; the other destinations do not notice."""
    stage.screen.act("2. The archive goes down.")
    before = stage.watch.rows()
    began = time.monotonic()
    archive.gate.set(Mode.REFUSE)
    stage.screen.say("Connections are refused. Its circuit breaker should open, and the others go on.")
    stage.wait("the archive's breaker opens", lambda rows: rows["archive"].status.breaker != "closed")
    opened = time.monotonic() - began

    others = [name for name in before if name != "archive"]

    def flowed(rows: Rows) -> bool:
        return all(delivered(rows, name) - delivered(before, name) >= _FLOWED for name in others)

    after = stage.wait(f"{_FLOWED} more scans everywhere else while the archive is down", flowed)
    got = ", ".join(f"{name} {delivered(after, name) - delivered(before, name)}" for name in others)
    stage.screen.say(
        f"The breaker opened after {opened:.1f} s. The others got more scans meanwhile: {got}.\n"
        f"{pending(after, 'archive')} wait in the journal for the archive."
    )


def killed_in_mid_write(stage: Stage, archive: Archive) -> None:
    """The archive is back, but its answers take their time: when it has objects that the exporter has not heard of, the
    exporter is killed."""
    stage.screen.act("3. The archive is back but slow, and the exporter dies in the middle of a write: kill -9.")
    known = archive.s3.count()
    archive.gate.set(Mode.DELAY, delay=_ANSWER_DELAY)
    stage.wait("the archive stores objects again", lambda _: archive.s3.count() > known)
    pid = stage.exporter.pid
    stage.exporter.kill()
    rows = stage.watch.rows()
    unheard = archive.s3.count() - delivered(rows, "archive")
    stage.screen.shell(f"kill -9 {pid}")
    if unheard > 0:
        stage.screen.say(
            f"At that moment S3 had {unheard} objects whose confirmation the exporter never saw. It must send them "
            "again, and S3 must not hold them twice."
        )
        stage.traced = readback.id_of(archive.s3.newest())
    archive.gate.set(Mode.PASS)
    _restart(stage)


def killed(stage: Stage) -> None:
    """Without S3: the exporter is killed while scans come in."""
    stage.screen.act("2. The exporter dies: kill -9.")
    pid = stage.exporter.pid
    stage.exporter.kill()
    stage.screen.shell(f"kill -9 {pid}")
    _restart(stage)
    before = delivered(stage.watch.rows(), "files")
    stage.wait("more scans arrive", lambda rows: delivered(rows, "files") >= before + _FLOWED)


def drains(stage: Stage) -> None:
    """The archive answers as it should, and gets what waited."""
    stage.screen.act("4. The archive drains.")
    waited = pending(stage.watch.rows(), "archive")
    began = time.monotonic()

    def drained(rows: Rows) -> bool:
        # New scans keep coming, so some may always be on their way.
        status = rows["archive"].status
        only_new = status.oldest_pending_seconds < time.monotonic() - began
        return status.breaker == "closed" and (not status.pending or only_new)

    stage.wait("the archive gets what waited", drained)
    stage.screen.say(
        f"The breaker closed, and all {waited} scans that waited are delivered, {time.monotonic() - began:.1f} s later."
    )


def _restart(stage: Stage) -> None:
    stage.screen.shell(f"scribe-export run {stage.config}")
    stage.restart_seconds = stage.exporter.start()
    stage.screen.say(f"Ready again after {stage.restart_seconds:.1f} s. What it had acknowledged is in its journal.")
