"""Every row of the fault plan is kept by a test, and the page says by which.

``REGOLD=1 pytest tests/unit/test_fault_plan.py`` writes the page anew.
"""

import os

from support.fault_plan import INHERITED, PAGE, PLAN, kept, page

from scribe_export.testing.sink_contract import SinkContract


def test_every_row_has_a_test_and_every_mark_a_row() -> None:
    named = set(kept()) | set(INHERITED.values())

    assert list(PLAN) == [f"F-{number:02d}" for number in range(1, 37)]
    assert named - set(PLAN) == set()
    assert set(PLAN) - named == set()


def test_the_contract_suite_has_the_tests_that_keep_rows() -> None:
    assert [name for name in INHERITED if not hasattr(SinkContract, name)] == []


def test_the_page_is_that_of_the_plan() -> None:
    fresh = page()
    if os.environ.get("REGOLD"):
        PAGE.write_text(fresh, "utf-8")
    assert PAGE.read_text("utf-8") == fresh
