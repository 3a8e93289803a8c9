"""When something is worth a person's attention."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from scribe_export.alerts.hearing import CALM, Hearing
from scribe_export.alerts.options import AlertOptions
from scribe_export.alerts.rules import Finding, findings, lasting
from scribe_export.alerts.seen import DestinationSeen, JournalSeen, Seen, SourceSeen
from scribe_export.interface import Gap

OPTIONS = AlertOptions(held_for=60.0, backlog_age=900.0, quiet=900.0)
NOW = 10_000.0
WELL = DestinationSeen("archive", held=None, reason="", rest=30.0, dead=0, oldest=None, max_age=0.0)
JOURNAL = JournalSeen({}, {}, unplaced=0, full="", roomy=True)


def source(hearing: Hearing | None = None, **more: object) -> SourceSeen:
    calm = SourceSeen("api", "", ended=False, hearing=hearing or Hearing(0.0), silent_after=None, gap=None)
    return replace(calm, **more)  # type: ignore[arg-type]  # passed on as they are


def found(alert: str, *seen: DestinationSeen | SourceSeen, journal: JournalSeen = JOURNAL, now: float = NOW) -> Finding:
    destinations = [one for one in seen if isinstance(one, DestinationSeen)]
    sources = [one for one in seen if isinstance(one, SourceSeen)]
    [finding] = [
        one
        for one in findings(Seen(now, destinations, sources, journal), OPTIONS)
        if one.alert == alert and (one.name or not seen)
    ]
    return finding


def test_of_a_pipeline_that_is_well_nothing_bad_is_found() -> None:
    heard = Hearing(0.0)
    heard.took(NOW - 1, 5)
    seen = Seen(NOW, [WELL], [source(heard, silent_after=60.0)], JOURNAL)
    assert {one.status for one in findings(seen, OPTIONS)} == {"well"}
    assert len({(one.alert, one.name) for one in findings(seen, OPTIONS)}) == 9


@pytest.mark.parametrize(("rest", "least"), [(1.0, 60.0), (30.0, 60.0), (300.0, 600.0)])
def test_a_held_destination_is_told_after_held_for_and_not_before_a_trial_call_has_failed(
    rest: float, least: float
) -> None:
    held = replace(WELL, held=least, reason="denied", rest=rest)
    assert found("destination_held", held) == Finding("destination_held", "archive", "bad", "denied", least)
    assert found("destination_held", replace(held, held=least - 1)).status == "unclear"
    assert found("destination_held", replace(held, held=None)).status == "well"


@pytest.mark.parametrize(
    ("oldest", "max_age", "status"),
    [
        (None, 0.0, "well"),
        (449.0, 0.0, "well"),
        (451.0, 0.0, "unclear"),
        (899.0, 0.0, "unclear"),
        (901.0, 0.0, "bad"),
        (86_400.0, 86_400.0, "well"),
        (87_301.0, 86_400.0, "bad"),
    ],
)
def test_a_backlog_is_old_beyond_the_time_that_its_batches_take_to_fill(
    oldest: float | None, max_age: float, status: str
) -> None:
    finding = found("backlog_old", replace(WELL, oldest=oldest, max_age=max_age))
    assert finding.status == status
    if oldest == 901.0:
        assert finding.reason == "the oldest scan that is not delivered came 15 min ago"


def test_dead_letters_are_counted_by_destination_and_those_of_none_apart() -> None:
    finding = found("dead_letters", replace(WELL, dead=3))
    assert (finding.name, finding.status, finding.count) == ("archive", "bad", 3)
    assert finding.reason == "dead letters: 3; see: scribe-export dlq list"
    finding = found("dead_letters", journal=replace(JOURNAL, unplaced=2))
    assert (finding.name, finding.status, finding.count) == ("", "bad", 2)


def test_a_source_that_stopped_is_told_at_once_and_nothing_else_of_it() -> None:
    failing = Hearing(0.0)
    failing.failed(NOW - 100, 60.0, "refused")
    stopped = source(failing, stopped="the list cannot be read", silent_after=60.0)
    assert found("source_stopped", stopped).reason == "the list cannot be read"
    assert found("source_stopped", stopped).status == "bad"
    assert found("source_held", stopped).status == "well"
    assert found("source_silent", stopped).status == "unclear"


def _never(_: Hearing) -> None:
    """Just started."""


def _once(hearing: Hearing) -> None:
    hearing.failed(NOW - 70, 1.0, "refused")


def _for_a_minute(hearing: Hearing) -> None:
    for ago in range(70, 0, -10):
        hearing.failed(NOW - ago, 5.0, f"refused {ago}")


def _told_to_wait(hearing: Hearing) -> None:
    hearing.failed(NOW - 61, 3600.0, "refused 10")


def _not_long_told_to_wait(hearing: Hearing) -> None:
    hearing.failed(NOW - 59, 3600.0, "refused")


def _and_delivered(hearing: Hearing) -> None:
    _for_a_minute(hearing)
    hearing.took(NOW - 1, 0)


def _long_ago(hearing: Hearing) -> None:
    for ago in range(70, 0, -10):
        hearing.failed(NOW - CALM - 6 - ago, 5.0, "refused")


def _long_ago_and_again(hearing: Hearing) -> None:
    _long_ago(hearing)
    hearing.failed(NOW, 1.0, "refused")


@pytest.mark.parametrize(
    ("happened", "status"),
    [
        (_never, "unclear"),
        (_once, "unclear"),
        (_for_a_minute, "bad"),
        (_told_to_wait, "bad"),
        (_not_long_told_to_wait, "unclear"),
        (_and_delivered, "well"),
        (_long_ago, "well"),
        (_long_ago_and_again, "unclear"),
    ],
)
def test_a_source_is_held_once_it_has_failed_for_a_while_and_until_it_is_read_again(
    happened: Callable[[Hearing], None], status: str
) -> None:
    hearing = Hearing(NOW - 100 if happened is _never else 0.0)
    happened(hearing)
    finding = found("source_held", source(hearing))
    assert finding.status == status
    if status == "bad":
        assert finding.reason == "refused 10"
    assert found("source_held", source(hearing, ended=True)).status == "well"


def test_a_source_that_reads_and_has_nothing_is_well_after_a_while() -> None:
    assert found("source_held", source(Hearing(NOW - CALM + 1))).status == "unclear"
    assert found("source_held", source(Hearing(NOW - CALM))).status == "well"
    assert found("source_stopped", source(Hearing(NOW - CALM + 1))).status == "unclear"
    assert found("source_stopped", source(Hearing(NOW - CALM))).status == "well"


@pytest.mark.parametrize(
    ("took", "status"),
    [(None, "bad"), ((NOW - 61, 1), "bad"), ((NOW - 59, 1), "well"), ((NOW - 1, 0), "bad")],
)
def test_a_source_is_silent_when_nothing_came_for_longer_than_its_limit(
    took: tuple[float, int] | None, status: str
) -> None:
    hearing = Hearing(NOW - 62)
    if took:
        hearing.took(*took)
    assert found("source_silent", source(hearing, silent_after=60.0)).status == status
    assert found("source_silent", source(hearing, silent_after=60.0, ended=True)).status == "well"


def test_before_its_limit_nobody_knows_whether_a_new_source_is_silent() -> None:
    assert found("source_silent", source(Hearing(NOW - 59), silent_after=60.0)).status == "unclear"


def test_a_source_may_be_silent_for_ever_unless_it_has_a_limit() -> None:
    alerts = {one.alert for one in findings(Seen(NOW, [], [source()], JOURNAL), OPTIONS)}
    assert alerts == {"source_stopped", "source_held", "gap", "dead_letters", "journal_full"}


def test_a_gap_is_told_until_there_was_none_for_a_while() -> None:
    missed = source(gap=Gap("raise max_limit", NOW - 899))
    assert (found("gap", missed).status, found("gap", missed).reason) == ("bad", "raise max_limit")
    assert found("gap", source(gap=Gap("raise max_limit", NOW - 900))).status == "well"
    assert found("gap", source(Hearing(NOW - 899))).status == "unclear"
    assert found("gap", source(Hearing(NOW - 900))).status == "well"


@pytest.mark.parametrize(
    ("full", "roomy", "status"), [("full", False, "bad"), ("", False, "unclear"), ("", True, "well")]
)
def test_a_full_journal_has_room_again_well_below_its_quota(full: str, roomy: bool, status: str) -> None:
    assert found("journal_full", journal=replace(JOURNAL, full=full, roomy=roomy)).status == status


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_799, "48 h"), (172_800, "2 d")],
)
def test_times_are_told_in_units_that_people_use(seconds: float, text: str) -> None:
    assert lasting(seconds) == text
