"""The acts about a scan that one destination can never accept as things are."""

from scribe_local.demo.failure import DemoFailed
from scribe_local.demo.pipeline import BY_DAY, BY_MATERIAL, file_by_day
from scribe_local.demo.scans import add_scan_with_note
from scribe_local.demo.stage import Stage


def dies(stage: Stage) -> None:
    """A scan whose file would have too long a name becomes a dead letter, and nothing else does."""
    screen = stage.screen
    screen.act("5. One scan cannot be filed.")
    scan_id = add_scan_with_note(stage.world.scanner.database)
    screen.say(
        f"In scan {scan_id} somebody typed a whole note where the material's name belongs, and the folder of its file is "
        "named after the material."
    )
    stage.wait("that scan is a dead letter", lambda rows: rows["files"].status.dead == 1)
    stage.shell("dlq", "list", str(stage.config))


def is_mended(stage: Stage) -> None:
    """The key is changed, the dead letter replayed, and the exporter run until nothing is left to do."""
    screen, config = stage.screen, stage.config
    screen.say("The others go on. The cause is ours to mend, in one line of the file; then the letter is sent again.")
    screen.shell(f"kill {stage.exporter.pid}")
    stage.exporter.stop()
    stage.scanning.end()
    file_by_day(config)
    screen.say(f"-     key: {BY_MATERIAL}\n+     key: {BY_DAY}")
    stage.shell("dlq", "replay", str(config))
    screen.shell(f"scribe-export run --until-idle {config}")
    stage.exporter.run_until_idle()
    code = stage.wait_for_end()
    if code not in {0, 1}:
        raise DemoFailed(f"the exporter ended with exit code {code}; {stage.exporter.log_tail()}")
    if code:
        screen.say("It ended with exit code 1: something is still dead or undelivered.")
    else:
        screen.say("Exit code 0: the scanner has nothing new, nothing waits, nothing is dead.")
