"""The story: seven acts, one pipeline."""

import time
from contextlib import ExitStack
from pathlib import Path

from scribe_export.journal.dead import Selection
from scribe_export.journal.looking import dead_letters_at
from scribe_local.demo import outage, pipeline, poison, readback
from scribe_local.demo.exporter import Exporter
from scribe_local.demo.failure import DemoFailed
from scribe_local.demo.result import Result
from scribe_local.demo.scans import Scanning
from scribe_local.demo.screen import Screen
from scribe_local.demo.stage import Stage, delivered
from scribe_local.demo.watch import Watch
from scribe_local.demo.world import SEED, world

SCANS_A_SECOND = 10.0
_WARM = 30


def tell(folder: Path, screen: Screen) -> Result:
    """Run the demo in an empty folder; all that it starts ends with it. Raises `DemoFailed` or `ServerFailed`."""
    started = time.monotonic()
    screen.act("A simulated scanner and a simulated cloud start on this machine; nothing leaves it.")
    screen.say("Every scan is to arrive at every destination, once, whatever dies on the way.")
    with ExitStack() as stack:
        around = stack.enter_context(world())
        config = folder / "export.yaml"
        pipeline.write(config, around)
        exporter = Exporter(config, folder / "exporter.log")
        stack.callback(exporter.kill)
        stage = Stage(
            folder=folder,
            world=around,
            exporter=exporter,
            watch=Watch(folder / "state" / "demo"),
            scanning=stack.enter_context(Scanning(around.scanner.url, SCANS_A_SECOND, SEED)),
            screen=screen,
            started=started,
        )
        _start(stage)
        if around.archive:
            outage.goes_down(stage, around.archive)
            outage.killed_in_mid_write(stage, around.archive)
            outage.drains(stage)
        else:
            outage.killed(stage)
        poison.dies(stage)
        poison.is_mended(stage)
        return _read_back(stage)


def _start(stage: Stage) -> None:
    screen = stage.screen
    screen.act(f"1. One file, {stage.config}, and the exporter runs.")
    for name, service in stage.world.cloud.services.items():
        screen.say(f"{name:9}  {service.what}")
    screen.say(f"{'files':9}  a folder, one file a scan")
    for why in dict.fromkeys(stage.world.cloud.missing.values()):
        left = [name for name, reason in stage.world.cloud.missing.items() if reason == why]
        screen.say(f"Left out: {', '.join(left)}, for {why}")
    screen.shell(f"scribe-export run {stage.config}")
    seconds = stage.exporter.start()
    screen.say(f"Ready after {seconds:.1f} s. The scanner has scans already, and goes on scanning all the time.")
    stage.wait(
        f"{_WARM} scans at every destination",
        lambda rows: all(delivered(rows, name) >= _WARM for name in rows),
    )


def _read_back(stage: Stage) -> Result:
    screen = stage.screen
    screen.act("6. Did everything arrive? The exporter is not asked.")
    screen.say(
        "The scanner's table and API against the content of each destination, read with its service's own client: every\n"
        "version of every object, every message, every row."
    )
    scans = readback.scans_of(stage.world)
    tallies = readback.read_back(scans, stage.world, stage.folder)
    letters = dead_letters_at(stage.watch.state, Selection())
    result = Result(
        scans=len(scans),
        tallies=tallies,
        dead={name: sum(letter.destination == name for letter in letters) for name in tallies},
        skipped=stage.world.cloud.missing,
        restart_seconds=stage.restart_seconds,
        seconds=time.monotonic() - stage.started,
    )
    screen.table(
        ("destination", "scans", "equal", "lost", "doubled", "dead"),
        [
            [
                str(count)
                for count in (
                    name,
                    len(scans),
                    len(tally.delivered),
                    len(tally.lost),
                    len(tally.doubled),
                    result.dead[name],
                )
            ]
            for name, tally in tallies.items()
        ],
    )
    for name, tally in tallies.items():
        if tally.doubled and tally.may_repeat:
            screen.say(f"{name} may hold a scan more than once after a crash: {tally.may_repeat}.")
    screen.say(f"lost: {result.lost}   doubled: {result.doubled}")
    if result.lost or result.doubled:
        screen.say(f"That must not be. {stage.exporter.log_tail()}")
    _farewell(stage, sorted(scans, key=int))
    return result


def _farewell(stage: Stage, scans: list[str]) -> None:
    screen, config = stage.screen, stage.config
    scan_id = stage.traced or next(iter(scans), "")
    if not scan_id:
        raise DemoFailed("the scanner has no scans")
    screen.act("7. What became of one scan?")
    if stage.traced:
        screen.say(f"Scan {scan_id} was in S3 already when the exporter was killed, and was sent once more after that.")
    stage.shell("trace", str(config), scan_id)
    screen.act(f"The demo took {time.monotonic() - stage.started:.0f} s. Its scanner and cloud are gone; this stays:")
    screen.say(
        f"{config}     what ran, as mended\n"
        f"{stage.exporter.log}    what the exporter said\n"
        f"{stage.folder / pipeline.FILES_FOLDER}/          the files, by material and by day\n"
        f"{stage.folder}/state/          the journal: scribe-export status {config}"
    )
    screen.act("Next:")
    screen.say(
        "scribe-export local up     a scanner and a cloud to try things on, with a config printed for them\n"
        "scribe-export connectors   what can be read and written, and with which options\n"
        "scribe-export init         an export.yaml to start your own from"
    )
