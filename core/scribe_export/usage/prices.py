"""Dated list prices of what services charge for, and what an amount of it costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from scribe_export.config.parse import MAX_BYTES, parse
from scribe_export.config.tree import Branch, Findings, Place, branch
from scribe_export.config.validate import validated
from scribe_export.options import Options, Url, parse_size
from scribe_export.usage.units import is_name

_OURS = ("aws.yaml", "gcp.yaml")
_FOLDER = Path(__file__).parent


def _amount(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


class PriceOptions(Options):
    """What one unit costs."""

    price: float = Field(ge=0, le=1e9, allow_inf_nan=False)
    """In the file's currency."""
    per: Annotated[int, BeforeValidator(_amount), Field(ge=1)] = 1
    """For so many units; bytes may be written as a size, like 1GiB."""
    monthly: bool = False
    """For storage: what it costs a month, as long as it lies there."""
    source: Url | None = None
    """Where the price stands."""
    checked: bool = True
    """Whether it was looked up there."""


class PriceFile(Options):
    """A file of prices."""

    as_of: date
    """The day on which they were looked up."""
    region: str = Field(min_length=1, max_length=100)
    """Where they hold."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """By its three letters."""
    prices: dict[str, PriceOptions]
    """Of units, by their names: the service's type as in a config, perhaps a class of storage, and what is counted."""


@dataclass(frozen=True, slots=True)
class Price:
    """One unit's: `amount` for `per` units, each month if `monthly`. `table` is the file that it stands in."""

    amount: float
    per: int
    monthly: bool
    source: str
    checked: bool
    table: "Table"

    def of(self, units: float) -> float:
        """What so many cost, a month if `monthly`."""
        return self.amount * units / self.per


@dataclass(frozen=True, slots=True)
class Table:
    """Where prices come from: `name` is the file's."""

    name: str
    as_of: date
    region: str


@dataclass(frozen=True, slots=True)
class Line:
    """One unit's amount and its price, if it has one; `cost` is a month's if the price is `monthly`."""

    unit: str
    amount: float
    price: Price | None

    @property
    def cost(self) -> float | None:
        """In the prices' currency."""
        return self.price.of(self.amount) if self.price else None


class Prices:
    """Prices of units, by their names, all in one currency."""

    def __init__(self, currency: str, known: Mapping[str, Price]) -> None:
        self.currency = currency
        self.known = dict(known)

    def lines(self, usage: Mapping[str, float]) -> list[Line]:
        """Each unit with its price, in the order of their names."""
        return [Line(unit, amount, self.known.get(unit)) for unit, amount in sorted(usage.items())]

    def cost(self, usage: Mapping[str, float]) -> float:
        """What the units cost once: storage aside, and without those that have no price."""
        return sum(line.cost or 0.0 for line in self.lines(usage) if line.price and not line.price.monthly)

    def monthly(self, usage: Mapping[str, float]) -> float:
        """What the stored bytes among them cost a month, as long as they lie there."""
        return sum(line.cost or 0.0 for line in self.lines(usage) if line.price and line.price.monthly)


def load(path: str | Path | None = None) -> Prices:
    """The built-in tables, and over them those of a file: its prices replace theirs of the same name.

    A file in another currency stands alone, as amounts of two cannot be added. Raises `ConfigError` with every mistake
    in the file at its place.
    """
    files = [_read(_FOLDER / name, name) for name in _OURS]
    if path is not None:
        given = _read(Path(path), str(path))
        files = [(name, file) for name, file in files if file.currency == given[1].currency] + [given]
    return Prices(files[-1][1].currency, dict(_priced(files)))


def _priced(files: Iterable[tuple[str, PriceFile]]) -> Iterable[tuple[str, Price]]:
    for name, file in files:
        table = Table(name, file.as_of, file.region)
        for unit, one in file.prices.items():
            yield unit, Price(one.price, one.per, one.monthly, one.source or "", one.checked, table)


def _read(path: Path, name: str) -> tuple[str, PriceFile]:
    found = Findings(name)
    raw = b""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        found.add(Place(1, 1, ""), f"cannot read the file of prices: {reason}")
        raise found.error() from None
    if not raw.strip():
        found.add(Place(1, 1, ""), "the file of prices is empty; it holds as_of, region and prices")
        raise found.error()
    tree = parse(raw, found)
    file = validated(PriceFile, tree, found) if tree else None
    if tree:
        _check_names(tree, found)
    if file is None or found:
        raise found.error()
    return name, file


def _check_names(tree: Branch, found: Findings) -> None:
    prices = branch(tree.entries.get("prices"))
    for name, node in prices.entries.items() if prices else ():
        if not is_name(name):
            found.add(node.key, "is no name of a unit; write one like aws_s3.put_requests, in a-z, 0-9, _ and dots")
