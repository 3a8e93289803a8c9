"""How the demo counts what arrived."""

from scribe_local.demo.readback import Tally, tally
from scribe_local.demo.result import Result


def test_a_scan_without_an_equal_copy_is_lost_and_one_with_two_copies_is_doubled() -> None:
    found = tally(
        {"1": "a", "2": "b", "3": "c", "4": "d"},
        [("1", "a"), ("2", "b"), ("2", "b"), ("3", "other"), ("9", "z")],
    )
    assert found == Tally(delivered=frozenset("12"), lost=frozenset("34"), doubled=frozenset("2"), foreign=1)


def test_an_equal_copy_beside_a_spoilt_one_is_doubled() -> None:
    assert tally({"1": "a"}, [("1", "a"), ("1", "spoilt")]).doubled == frozenset("1")


def test_the_totals_count_each_scan_once_however_many_destinations_miss_it() -> None:
    there = frozenset("1234")
    tallies = {
        "archive": Tally(there - {"4"}, frozenset("4"), frozenset(), 0),
        "files": Tally(there - {"3", "4"}, frozenset("34"), frozenset("1"), 2),
        "publish": Tally(there, frozenset(), frozenset("23"), 0, may_repeat="messages may come twice"),
    }
    result = Result(4, tallies, dead={"files": 1}, skipped={"lake": "why"}, restart_seconds=1.23456, seconds=30.06)
    assert result.document() == {
        "scans": 4,
        "destinations": {
            "archive": {"delivered": 3, "dead": 0, "lost": 1, "doubled": 0, "foreign": 0},
            "files": {"delivered": 2, "dead": 1, "lost": 2, "doubled": 1, "foreign": 2},
            "publish": {"delivered": 4, "dead": 0, "lost": 0, "doubled": 2, "foreign": 0},
        },
        "lost": 2,
        "doubled": 1,
        "restart_seconds": 1.235,
        "seconds": 30.1,
        "skipped": {"lake": "why"},
    }
