"""The table of prices: what is in it, what an amount costs, and what a file of one's own may say."""

import re
from datetime import date
from pathlib import Path

import pytest

from scribe_export.errors import ConfigError
from scribe_export.usage.prices import load

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "cost.md"
OWN = """
as_of: 2026-10-01
region: eu-west-1
prices:
  aws_s3.put_requests: {price: 0.0053, per: 1000}
  bytes_sent: {price: 0.09, per: 1GiB}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.yaml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def test_every_price_is_dated_and_says_where_it_stands() -> None:
    for price in load().known.values():
        assert price.table.as_of >= date(2026, 11, 25)
        assert price.source.startswith("https://")
        assert price.table.region
    assert load().currency == "USD"


def test_what_is_stored_costs_by_the_month_and_everything_else_once() -> None:
    for unit, price in load().known.items():
        assert price.monthly == unit.endswith("stored_bytes")


def test_a_million_scans_in_single_objects_cost_five_dollars() -> None:
    prices = load()
    usage = {"aws_s3.put_requests": 1e6, "aws_s3.stored_bytes": 10 * 2**30, "requests": 1e6}
    assert prices.cost(usage) == pytest.approx(5.0)
    assert prices.monthly(usage) == pytest.approx(0.23)


def test_a_unit_without_a_price_is_shown_without_one() -> None:
    unpriced, priced = load().lines({"thing.count": 3, "aws_sqs.fifo_requests": 2e6})[::-1]
    assert (unpriced.cost, unpriced.price) == (None, None)
    assert priced.cost == pytest.approx(1.0)


def test_prices_of_ones_own_come_before_those_built_in(tmp_path: Path) -> None:
    prices = load(written(tmp_path, OWN))
    assert prices.known["aws_s3.put_requests"].amount == pytest.approx(0.0053)
    assert prices.known["aws_s3.put_requests"].table.region == "eu-west-1"
    assert prices.cost({"bytes_sent": 2**31}) == pytest.approx(0.18)
    assert prices.known["aws_lambda.requests"].table.region == "us-east-1"


def test_a_file_in_another_currency_stands_alone(tmp_path: Path) -> None:
    prices = load(written(tmp_path, OWN + "currency: EUR\n"))
    assert prices.currency == "EUR"
    assert sorted(prices.known) == ["aws_s3.put_requests", "bytes_sent"]


def test_every_mistake_in_a_file_is_told_at_its_place(tmp_path: Path) -> None:
    text = (
        "as_of: 2026-13-01\nprices:\n  Foo: {price: 1}\n  aws_s3.put_requests: {price: -1, per: 0}\n"
        "  gcp_x.y: {prise: 2, per: 5 zorks}\n  a.b: 3\n"
    )
    assert refused(tmp_path, text) == [
        "1:1: region: is required",
        "1:8: as_of: must be a valid date in the format YYYY-MM-DD, month value is outside expected range of 1-12",
        "3:3: prices.Foo: is no name of a unit; write one like aws_s3.put_requests, in a-z, 0-9, _ and dots",
        "4:32: prices.aws_s3.put_requests.price: must be greater than or equal to 0",
        "4:41: prices.aws_s3.put_requests.per: must be greater than or equal to 1",
        '5:13: prices.gcp_x.y.prise: unknown option, did you mean "price"?',
        "5:28: prices.gcp_x.y.per: not a size: '5 zorks'; write a number with its unit, like 500kB, 8MiB or 10GiB",
        "6:8: prices.a.b: must hold options by name",
    ]


def test_the_example_in_the_documentation_is_right(tmp_path: Path) -> None:
    [example] = re.findall(r"^```yml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    prices = load(written(tmp_path, example))
    assert prices.known["aws_s3.put_requests"].amount == pytest.approx(0.0054)
    assert not prices.known["bytes_sent"].checked


def test_every_unit_that_has_a_price_is_explained() -> None:
    text = PAGE.read_text("utf-8")
    bare = {f"{unit.split('.')[0]}.{unit.split('.')[-1]}" for unit in load().known}
    assert [unit for unit in sorted(bare) if f"`{unit}`" not in text] == []


def test_an_empty_or_missing_file_is_told_as_one(tmp_path: Path) -> None:
    assert refused(tmp_path, "") == ["1:1: the file of prices is empty; it holds as_of, region and prices"]
    with pytest.raises(ConfigError, match="cannot read the file of prices: No such file"):
        load(tmp_path / "none.yaml")
