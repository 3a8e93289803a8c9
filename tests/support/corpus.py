"""The poison corpus: odd and broken bodies, and what has to become of each.

The small ones are files in `tests/poison`, byte for byte; large ones are made here. `EXPECTED` is the one table of what
is expected: docs/guide/odd-scans.md is checked against it, and every source and sink is tested by it.
"""

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import zstandard
from support.oracle import small_scan

FOLDER = Path(__file__).parents[1] / "poison"
MOMENT = '"timestamp": "2026-05-06T12:00:00Z"'

Journalled = Literal["scan", "duplicate", "conflict", "invalid", "too_large"]
"""What the journal makes of a body; the last two are dead letters without a destination."""


TRAITS = {
    "day": "a key with {timestamp}",
    "file": "`file` with one file a scan",
    "sqs": "`aws_sqs`",
    "items": "`aws_dynamodb`, unless its item is a document",
    "json": "`gcp_bigquery` with a column of type JSON",
    "rows": "`scribe_database`",
    "function": "`aws_lambda`, whose runtime for Python takes 4,300 digits",
}
"""What about a destination may refuse a scan, in the operator's words."""

NO_SCANS = frozenset({"invalid", "too_large"})


@dataclass(frozen=True)
class Expected:
    """`id` is the scan's, `why` what the dead letter's reason says.

    `refused` has the class of the dead letter by the trait of destinations that refuse the scan: see `TRAITS`.
    """

    journalled: Journalled = "scan"
    id: str = ""
    why: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


def scan(scan_id: str = "", **refused: str) -> Expected:
    return Expected(id=scan_id, refused=refused)


def invalid(why: str) -> Expected:
    return Expected("invalid", why=why)


NOT_JSON = "not JSON"
EXPECTED: Mapping[str, Expected] = {
    "01-nan": invalid(NOT_JSON),
    "01-infinity": invalid(NOT_JSON),
    "01-minus-infinity": invalid(NOT_JSON),
    "01-beyond-floats": scan(json="number"),
    "02-2-to-the-63": scan(),
    "02-2-to-the-70": scan(json="number"),
    "02-10-to-the-40": scan(json="number"),
    "02-large-id": scan(str(2**70), json="number"),
    "03-5000-digits": scan(json="number", function="poison"),
    "03-5000-digits-id": invalid("a fraction"),
    "04-half-a-pair": invalid("half of a surrogate pair"),
    "04-half-a-pair-in-id": invalid("half of a surrogate pair"),
    "04-whole-pair": scan(),
    "05-nul": scan(),
    "05-nul-in-id": invalid("NUL"),
    "05-raw-nul": invalid(NOT_JSON),
    "06-100000-levels": invalid("nested deeper"),
    "06-513-levels": invalid("nested deeper"),
    "06-500-levels": scan(items="too_deep"),
    "07-two-ids": invalid("more than once"),
    "07-two-ids-escaped": invalid("more than once"),
    "07-a-name-twice": scan(),
    "08-2-megabytes": scan(sqs="too_large"),
    "08-more-than-max-record": Expected("too_large", why="journal.max_record"),
    "09-no-materials": scan(),
    "10-materials-null": scan(),
    "10-materials-object": scan(),
    "10-materials-text": scan(),
    "10-materials-mixed": scan(),
    "11-no-id": invalid("no scan_id"),
    "11-empty-id": invalid("empty"),
    "11-null-id": invalid("null"),
    "11-fraction-id": invalid("a fraction"),
    "11-array-id": invalid("an array"),
    "11-number-id": scan("1100"),
    "11-10-kilobyte-id": invalid("10240 characters"),
    "11-256-characters": scan("i" * 256, file="name"),
    "11-257-characters": invalid("257 characters"),
    "12-parent": scan("../../etc/passwd"),
    "12-absolute": scan("/abs"),
    "12-double-slash": scan("a//b"),
    "12-dot": scan("."),
    "12-dots": scan(".."),
    "12-backslash": scan("C:\\x"),
    "13-line-end": scan("a\r\nb"),
    "13-query": scan("a?b#c&d=e"),
    "13-percent": scan("%2e%2e"),
    "13-right-to-left": scan("\u202eabc"),
    "13-composed": scan("\u00e9"),
    "13-decomposed": scan("e\u0301"),
    "13-tilde": scan("~2E"),
    "14-again": scan(),
    "14-again-respelled": Expected("duplicate", id="14-again"),
    "15-first": scan("15-twice"),
    "15-other": Expected("conflict", id="15-twice"),
    "16-case-lower": scan("16-case"),
    "16-case-upper": scan("16-CASE"),
    "17-no-zone": scan(),
    "17-leap-second": scan(day="timestamp"),
    "17-year-0": scan(day="timestamp"),
    "17-after-year-9999": scan(day="timestamp"),
    "17-epoch-seconds": scan(),
    "17-epoch-milliseconds": scan(),
    "17-beyond-floats": scan(day="timestamp", rows="timestamp"),
    "17-words": scan(day="timestamp"),
    "17-true": scan(),
    "17-none": scan(),
    "18-in-ten-years": scan(),
    "18-long-ago": scan(),
    "19-bom": invalid("byte order mark"),
    "19-utf-16": invalid("byte order mark"),
    "19-utf-16-without-bom": invalid(NOT_JSON),
    "19-not-utf-8": invalid("not UTF-8"),
    "19-gzip": invalid("not UTF-8"),
    "20-array": invalid("an array"),
    "20-number": invalid("a number"),
    "20-text": invalid("text"),
    "20-null": invalid("null"),
    "20-blank": invalid("empty"),
    "20-empty": invalid("empty"),
    "20-two-documents": invalid("trailing"),
    "20-cut-off": invalid(NOT_JSON),
    "20-trailing-comma": invalid(NOT_JSON),
    "21-prototype": scan(),
    "21-dots": scan(),
    "21-empty-name": scan(items="name"),
    "21-names-of-ours": scan(),
    "21-5000-names": scan(),
    "22-injection": scan("22-{0.__class__}-${jndi:ldap://x}"),
    "22-escape-in-id": scan("22-\x1b[2J\x07"),
    "23-negative-zero": scan(),
    "23-underflow": scan(),
    "23-long-fraction": scan(),
    "23-true-id": invalid("a boolean"),
}


def _with(name: str, inner: str) -> bytes:
    return f'{{"scan_id": "{name}", {MOMENT}, {inner}}}'.encode()


def _nested(levels: int) -> str:
    return f'"features": {{"x": {"[" * levels + "]" * levels}}}'


MAX_RECORD = 3 * 2**20
"""`journal.max_record` where the corpus goes through: the largest that is a scan has 2 MiB."""
_LARGE: Mapping[str, Callable[[str], bytes]] = {
    "03-5000-digits": lambda name: _with(name, f'"features": {{"x": {"9" * 5000}}}'),
    "03-5000-digits-id": lambda _: b'{"scan_id": ' + b"9" * 5000 + b"}",
    "06-100000-levels": lambda name: _with(name, _nested(100_000)),
    "06-513-levels": lambda name: _with(name, _nested(511)),
    "06-500-levels": lambda name: _with(name, _nested(490)),
    "08-2-megabytes": lambda name: large_scan(name, 2 * 2**20),
    "08-more-than-max-record": lambda name: large_scan(name, MAX_RECORD + 1000),
    "11-10-kilobyte-id": lambda _: b'{"scan_id": "' + b"i" * 10_240 + b'"}',
    "11-256-characters": lambda _: b'{"scan_id": "' + b"i" * 256 + b'"}',
    "11-257-characters": lambda _: b'{"scan_id": "' + b"i" * 257 + b'"}',
    "21-5000-names": lambda name: _with(
        name, '"features": {' + ", ".join(f'"n{number}": {number}' for number in range(5000)) + "}"
    ),
}


MIB = b"0" * 2**20
BOMBS: Mapping[str, Callable[[], bytes]] = {
    "24-document.json.gz": lambda: gzip.compress(MIB) * 512,
    "24-document.json.zst": lambda: zstandard.compress(MIB) * 512,
    "24-line.jsonl.gz": lambda: gzip.compress(MIB) * 512,
    "24-line.jsonl.zst": lambda: zstandard.compress(MIB) * 512,
}
"""Archives of less than a megabyte that hold half a gigabyte: they are passed over, and stay where they are."""


def large_scan(name: str, size: int) -> bytes:
    """A scan with about so many bytes of audio."""
    return _with(name, f'"response": {{"audio_data": [{", ".join(["0.123456"] * (size // 10))}]}}')


def body(name: str) -> bytes:
    """The bytes of a row."""
    made = _LARGE.get(name)
    return made(name) if made else (FOLDER / f"{name}.json").read_bytes()


def scan_id(name: str) -> str:
    """The id of a row that is a scan."""
    return EXPECTED[name].id or name


def names(*journalled: Journalled) -> list[str]:
    """The rows that the journal makes this of; all if none is given."""
    return [name for name, expected in EXPECTED.items() if not journalled or expected.journalled in journalled]


@dataclass(frozen=True)
class Mixed:
    """Rows among good scans, `good` before each of them and after the last.

    `parts` are fields that every scan among them has.
    """

    rows: Sequence[str]
    good: int = 10
    parts: Sequence[str] = ()

    def body(self, name: str) -> bytes:
        """The bytes of a row."""
        return body(name) if EXPECTED[name].journalled in NO_SCANS else self._with_parts(body(name))

    def _with_parts(self, whole: bytes) -> bytes:
        missing = [f'"{part}": {{}}, '.encode() for part in self.parts if f'"{part}"'.encode() not in whole]
        return whole.replace(b"{", b"{" + b"".join(missing), 1)

    def groups(self) -> Iterator[tuple[list[bytes], str]]:
        """Good scans, and the row that comes behind them; an empty name behind the last."""
        for number, name in enumerate([*self.rows, ""]):
            first = number * self.good + 1
            yield [self._with_parts(small_scan(n)) for n in range(first, first + self.good)], name

    def good_scans(self) -> dict[str, bytes]:
        """By id."""
        count = (len(self.rows) + 1) * self.good
        return {str(number): self._with_parts(small_scan(number)) for number in range(1, count + 1)}

    def delivered(self, *traits: str) -> dict[str, bytes]:
        """What a destination has in the end, by id: the good scans and the odd ones that it does not refuse."""
        rows = [name for name in self.rows if EXPECTED[name].journalled == "scan" and not refused(name, traits)]
        return self.good_scans() | {scan_id(name): self.body(name) for name in rows}


def refused(name: str, traits: Iterable[str]) -> str:
    """The class under which a destination with these traits refuses a row; empty if it takes it."""
    return next((EXPECTED[name].refused[trait] for trait in traits if trait in EXPECTED[name].refused), "")


GUIDE: Mapping[str, tuple[str, ...]] = {
    "`NaN`, `Infinity`": ("01-nan", "01-infinity", "01-minus-infinity"),
    "a number beyond any float": ("01-beyond-floats", "03-5000-digits"),
    "an integer above 64 bits": ("02-2-to-the-63", "02-2-to-the-70", "02-10-to-the-40", "02-large-id"),
    "an integer of 5,000 digits": ("03-5000-digits",),
    "half of a surrogate pair": ("04-half-a-pair", "04-half-a-pair-in-id"),
    '`"\\u0000"` in a text': ("05-nul", "05-nul-in-id", "05-raw-nul"),
    "more than 512 levels": ("06-100000-levels", "06-513-levels"),
    "more than 32 levels": ("06-500-levels",),
    "`scan_id` twice": ("07-two-ids", "07-two-ids-escaped"),
    "another name twice": ("07-a-name-twice",),
    "a scan larger than `journal.max_record`": ("08-more-than-max-record",),
    "a scan larger than a destination": ("08-2-megabytes",),
    "`materials` empty": tuple(name for name in EXPECTED if name.startswith(("09-", "10-"))),
    "no `scan_id`": (
        *(name for name in EXPECTED if name.startswith("11-") and EXPECTED[name].journalled == "invalid"),
        "03-5000-digits-id",
        "23-true-id",
    ),
    "a `scan_id` like": (*(name for name in EXPECTED if name.startswith(("12-", "13-"))), "11-number-id"),
    "a `scan_id` longer than 250": ("11-256-characters",),
    "ids that only look alike": ("16-case-lower", "16-case-upper", "13-composed", "13-decomposed", "13-tilde"),
    "the same scan again": ("14-again-respelled",),
    "the same id with other content": ("15-other",),
    "a timestamp without a zone": ("17-no-zone",),
    "a timestamp that is no moment": (
        "17-leap-second",
        "17-year-0",
        "17-after-year-9999",
        "17-words",
        "17-beyond-floats",
    ),
    "a timestamp that is missing": ("17-none", "17-true"),
    "a timestamp in seconds": ("17-epoch-seconds", "17-epoch-milliseconds"),
    "a timestamp of long ago": ("18-long-ago", "18-in-ten-years"),
    "a byte order mark": tuple(name for name in EXPECTED if name.startswith("19-")),
    "an array, a number": tuple(name for name in EXPECTED if name.startswith("20-")),
    "names with dots": ("21-dots", "21-prototype", "21-names-of-ours", "21-5000-names"),
    "a field without a name": ("21-empty-name",),
    "text that looks like": ("22-injection", "22-escape-in-id", "04-whole-pair"),
    "`-0.0`, `1e-400`": ("23-negative-zero", "23-underflow", "23-long-fraction"),
    "a small compressed archive": (),
}
"""How a line of the guide's table begins, and the rows that it is about."""
