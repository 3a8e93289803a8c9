"""The guide's page on odd scans says what the corpus is tested for, and nothing of the corpus is left out."""

import re
from pathlib import Path

from support.corpus import EXPECTED, GUIDE

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "odd-scans.md"
CLASSES = {
    *(kind for expected in EXPECTED.values() for kind in expected.refused.values()),
    *(one.journalled for one in EXPECTED.values() if one.journalled in {"invalid", "too_large", "conflict"}),
}


def lines() -> dict[str, str]:
    """What comes in, and what happens."""
    table = PAGE.read_text("utf-8").partition("<!-- corpus -->\n")[2].partition("<!-- end -->")[0]
    rows = [re.split(r" ?\| ?", line.strip("| \n")) for line in table.splitlines()[2:]]
    return {comes: " ".join(happens) for comes, *happens in rows}


def test_the_table_is_about_every_row_of_the_corpus() -> None:
    found = list(lines())
    assert [next((one for one in GUIDE if line.startswith(one)), line) for line in found] == list(GUIDE)
    first_of_a_pair = {"14-again", "15-first"}
    assert {name for names in GUIDE.values() for name in names} == EXPECTED.keys() - first_of_a_pair


def test_each_line_names_the_classes_that_its_rows_have_and_says_which_are_delivered() -> None:
    for line, happens in lines().items():
        rows = next(names for begin, names in GUIDE.items() if line.startswith(begin))
        if not rows:
            continue
        expected = [EXPECTED[name] for name in rows]
        # The page has a line of its own for a function's digits.
        kinds = {
            kind
            for one in expected
            for trait, kind in one.refused.items()
            if (trait == "function") == ("5,000" in line)
        } - ({"number"} if "5,000" in line else set())
        kinds |= {one.journalled for one in expected if one.journalled in {"invalid", "too_large", "conflict"}}
        named = set(re.findall(r"`(\w+)`", happens)) & CLASSES
        assert named == kinds, line
        takers = {one.journalled for one in expected} == {"scan"} and "5,000" not in line and "oversize" not in happens
        assert not takers or "delivered" in happens, line
