"""Sinks that lie in one way each: the check written for that lie notices, and no other does."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.lying_sinks_in_trouble import TWINS
from support.twins import Twin, failed, verdicts

from scribe_export.interface import Context
from scribe_export.testing.memory import MemoryDestination, MemoryService, MemorySink, MemorySinkOptions
from scribe_export.testing.records import make_record, make_records, scan_body
from scribe_export.testing.sink_contract import Faults, SinkContract


def fixtures_of(make: type) -> Mapping[str, Any]:
    service, context = MemoryService(), Context("twin")
    changed = MemorySinkOptions(prefix="elsewhere/")
    return {
        "sink": lambda: make(MemorySinkOptions(), context, service=service),
        "reshaped": lambda: make(changed, context, service=service),
        "destination": MemoryDestination(service),
        "records": make_records,
        "unacceptable": make_record("too-large", seq=900, body=scan_body("too-large", size=140_000)),
        "faults": service.faults(),
    }


def test_the_honest_sink_passes_every_check_and_skips_none() -> None:
    found = verdicts(SinkContract(), lambda: fixtures_of(MemorySink))
    assert found == dict.fromkeys(found, "passed")


def test_where_no_fault_can_be_brought_about_those_checks_skip_and_the_others_are_made() -> None:
    withheld = {"faults": Faults(withheld="this is the real service")}
    found = verdicts(SinkContract(), lambda: {**fixtures_of(MemorySink), **withheld})
    skipped = {name for name, verdict in found.items() if verdict == "skipped"}
    assert failed(found) == set()
    assert skipped == {
        "a_failed_record_is_reported_and_the_others_acked",
        "a_lost_answer_is_unknown_and_a_repeat_mends_it",
        "a_service_that_is_down_acks_nothing",
        "denied_credentials_are_misconfigured",
        "open_works_after_an_open_that_failed",
        "usage_counts_the_requests_that_are_made",
        "write_does_not_retry",
    }


def test_every_check_has_a_liar_that_it_was_written_for() -> None:
    assert TWINS.uncaught_checks() == set()


@pytest.mark.parametrize("twin", TWINS.all, ids=lambda twin: twin.make.__name__)
def test_a_lying_sink_is_caught_by_its_check_and_no_other(twin: Twin) -> None:
    found = verdicts(SinkContract(), lambda: fixtures_of(twin.make))
    assert failed(found) == {twin.caught_by, *twin.also}, found
