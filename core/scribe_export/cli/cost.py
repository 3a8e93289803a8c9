"""`status --cost`: what was used and what that costs, as tables and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from scribe_export.cli.shared import print_table
from scribe_export.usage.bill import Bill, DestinationBill
from scribe_export.usage.prices import Line, Price, Prices

_TITLES = {"month": "this month", "last_30_days": "the last 30 days"}
ESTIMATE = "an estimate from list prices, without free tiers and discounts; your bill knows better"
_GIB = 2**30


def print_cost(bills: Mapping[str, Bill], prices: Prices) -> None:
    """A table for each stretch of days, and which prices they were made with."""
    for name, bill in bills.items():
        click.echo(f"\n{_TITLES[name]}, {bill.first} to {bill.last} (UTC)")
        if not bill.destinations:
            click.echo("nothing was used")
            continue
        rows = [row for name, one in bill.destinations.items() for row in _rows(name, one, prices.currency)]
        print_table(["destination", "unit", "amount", "cost", ""], rows)
        stored = f", and {money(bill.monthly, prices.currency)} a month for what was stored" if bill.monthly else ""
        click.echo(f"together {money(bill.cost, prices.currency)}{stored}")
    used = [line.price for bill in bills.values() for one in bill.destinations.values() for line in one.lines]
    click.echo("\n" + "\n".join(_notes([price for price in used if price])))


def cost_json(bills: Mapping[str, Bill], prices: Prices) -> dict[str, Any]:
    """The same as JSON values; what is not known is null."""
    tables = {price.table.name: price.table for price in prices.known.values()}
    return {
        "currency": prices.currency,
        "note": ESTIMATE,
        "tables": [{"name": one.name, "as_of": one.as_of.isoformat(), "region": one.region} for one in tables.values()],
        **{name: _bill_json(bill) for name, bill in bills.items()},
    }


def money(amount: float, currency: str) -> str:
    """With cents, and below a cent with as many places as two digits take."""
    sign = "$" if currency == "USD" else f"{currency} "
    if amount >= 0.01 or not amount:
        return f"{sign}{amount:,.2f}"
    return f"{sign}{amount:.2g}" if amount >= 0.0001 else f"under {sign}0.0001"


def _rows(name: str, bill: DestinationBill, currency: str) -> Iterator[Sequence[str]]:
    yield name, "together", f"{bill.scans:,.0f} scans", _shown(bill.cost, currency), _rate(bill, currency)
    for line in bill.lines:
        star = " *" if line.price and not line.price.checked else ""
        per_month = " a month until deleted" if line.price and line.price.monthly else ""
        yield "", line.unit, _amount(line), _line_cost(line, currency) + star, per_month.strip()


def _rate(bill: DestinationBill, currency: str) -> str:
    return "" if bill.per_million is None else f"{money(bill.per_million, currency)} a million scans"


def _line_cost(line: Line, currency: str) -> str:
    return "free" if line.price and not line.price.amount else _shown(line.cost, currency)


def _shown(cost: float | None, currency: str) -> str:
    return "-" if cost is None else money(cost, currency)


def _amount(line: Line) -> str:
    if line.unit.endswith("bytes") or line.unit == "bytes_sent":
        return f"{line.amount / _GIB:,.3f} GiB" if line.amount >= _GIB / 100 else f"{line.amount:,.0f} B"
    return f"{line.amount:,.0f}"


def _notes(used: Iterable[Price]) -> Iterator[str]:
    prices = list(used)
    tables = {price.table.name: price.table for price in prices}
    for table in tables.values():
        yield f"prices of {table.as_of}, {table.region} ({table.name})"
    if any(not price.checked for price in prices):
        yield "* this price could not be looked up; give your own with --prices"
    yield ESTIMATE


def _bill_json(bill: Bill) -> dict[str, Any]:
    return {
        "first": bill.first.isoformat(),
        "last": bill.last.isoformat(),
        "cost": bill.cost,
        "storage_per_month": bill.monthly,
        "destinations": {
            name: {
                "scans": one.scans,
                "cost": one.cost,
                "storage_per_month": one.monthly,
                "per_million_scans": one.per_million,
                "units": {line.unit: _line_json(line) for line in one.lines},
            }
            for name, one in bill.destinations.items()
        },
    }


def _line_json(line: Line) -> dict[str, Any]:
    price = line.price
    if price is None:
        return {"amount": line.amount, "cost": None}
    return {
        "amount": line.amount,
        "cost": line.cost,
        "monthly": price.monthly,
        "price": price.amount,
        "per": price.per,
        "table": price.table.name,
        "source": price.source or None,
        "checked": price.checked,
    }
