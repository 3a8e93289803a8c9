"""What fills the places in the report's text, by name."""

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks import names, prices
from benchmarks.tables import Part, Row, dollars, late, middle, named, number, ratio, spread, table

_LATE = 15
_AIMS = {"lanes": 10, "cpu": 25, "rate": 50, "dlt": 6, "singer": 3}


def fields(parts: Part) -> dict[str, str]:
    """All of them."""
    return _head(parts) | _seven(parts["clouds"]) | _files(parts["files"]) | _s3(parts["s3"]) | _rest(parts)


def stages_of(parts: Part, destination: str, stage: str) -> float:
    """Median microseconds a scan."""
    rounds: list[float] = named(parts["stages"]["rows"], destination)[stage]
    return median(rounds)


def _head(parts: Part) -> dict[str, str]:
    rounds = sorted({part["rounds"] for part in parts.values()})
    return {
        "dates": " and ".join(sorted({part["date"] for part in parts.values()})),
        "machines": "; ".join(sorted({part["machine"] for part in parts.values()})),
        "rounds": " or ".join(map(str, rounds)),
        "prices_as_of": prices.AS_OF,
        "aims_table": _aims(parts),
    }


def _pair(part: Part, milliseconds: int) -> tuple[Row, Row]:
    """Ours and the guide's, one scan after another."""
    rows = late(part, milliseconds)
    return named(rows, names.EXPORT), named(rows, names.GUIDE)


def _seven(part: Part) -> dict[str, str]:
    rows = []
    for milliseconds, told in ((0, "answers at once"), (_LATE, "15 ms late")):
        ours, _ = _pair(part, milliseconds)
        for row in late(part, milliseconds):
            faster = ratio(ours, row, "rate")
            cells = [f"{row['who']}, {told}", spread(row["cpu"]), f"{ratio(row, ours, 'cpu'):.1f}"]
            rows.append([*cells, spread(row["rate"]), number(faster), number(max(row["peak"]))])
    heads = ["", "CPU, µs a scan", "times ours", "scans a second", "our rate, times", "peak MiB"]
    bills = {
        names.GUIDE: prices.bill(prices.SEVEN_BY_GUIDE),
        names.EXPORT: prices.bill(prices.SEVEN_BY_EXPORT),
    }
    units = dict.fromkeys(unit for bill in bills.values() for unit in bill)
    lines = [[f"`{unit}`", *(f"{bill[unit]:.2f}" if unit in bill else "" for bill in bills.values())] for unit in units]
    lines.append(["together", *(f"{sum(bill.values()):.2f}" for bill in bills.values())])
    (ours, guide), (slow_ours, slow_guide) = _pair(part, 0), _pair(part, _LATE)
    careful = named(late(part, 0), names.CAREFUL)
    return {
        "clouds_table": table(heads, rows),
        "clouds_bill": table(["", *bills], lines),
        "careful_cpu": f"{ratio(ours, careful, 'cpu'):.1f}",
        "seven_cpu": f"{ratio(guide, ours, 'cpu'):.1f}",
        "seven_late_rate": number(ratio(slow_ours, slow_guide, "rate")),
    }


def _files(part: Part) -> dict[str, str]:
    rows = part["rows"]
    return {
        "files_versions": " and ".join(part["versions"]),
        "files_table": _programs(rows),
        "files_wins": _wins(rows),
        "files_zstd": middle(named(rows, names.BATCHES), "cpu"),
        "files_plain": middle(named(rows, names.BATCHES_PLAIN), "cpu"),
        "files_dlt_gzip": middle(named(rows, names.DLT_GZIP), "cpu"),
        "files_dlt_plain": middle(named(rows, names.DLT_PLAIN), "cpu"),
        "files_singer": middle(named(rows, names.SINGER), "cpu"),
    }


def _s3(part: Part) -> dict[str, str]:
    rows, slow = late(part, 0), late(part, _LATE)
    return {
        "s3_versions": " and ".join(part["versions"]),
        "s3_table": _programs(rows),
        "s3_wins": _wins(rows),
        "s3_late_table": _programs(slow, money=True),
        "s3_ours": middle(named(rows, names.BATCHES), "cpu"),
        "s3_guide": middle(named(rows, names.GUIDE_S3), "cpu"),
        "s3_ours_dollars": dollars(named(slow, names.BATCHES)),
        "s3_guide_dollars": dollars(named(slow, names.GUIDE_S3)),
    }


def _programs(rows: Sequence[Row], *, money: bool = False) -> str:
    heads = ["", "CPU, µs a scan", "times the first", "scans a second", "a start, s of CPU", "peak MiB", "bytes stored"]
    cells = [
        [
            row["who"],
            spread(row["cpu"]),
            f"{ratio(row, rows[0], 'cpu'):.1f}",
            spread(row["rate"]),
            f"{median(row['start']):.1f}",
            number(max(row["peak"])),
            f"{max(row['stored']):,.0f}",
            *([dollars(row)] if money else []),
        ]
        for row in rows
    ]
    return table([*heads, *(["$ a million"] if money else [])], cells)


def _wins(rows: Sequence[Row]) -> str:
    """Who needs less than the row of ours that stores as they do, and in what."""
    found = []
    for figure, told in (("cpu", "CPU a scan"), ("start", "CPU of a start"), ("peak", "memory")):
        better = [
            f"{row['who']} ({middle(row, figure)} against {middle(named(rows, names.ALIKE[row['who']]), figure)})"
            for row in rows
            if row["who"] in names.ALIKE and median(row[figure]) < median(named(rows, names.ALIKE[row["who"]])[figure])
        ]
        found += [f"- {told}: {'; '.join(better)}"] if better else []
    return "\n".join(found) or "- nowhere"


def _rest(parts: Part) -> dict[str, str]:
    small, large = parts["core"]["memory"]
    told = {"memory_small": f"{small}", "memory_large": f"{large}", "core_table": _core(parts["core"]["rows"])}
    told["read_back"] = middle(named(parts["stages"]["rows"], names.BEHIND), "read back")
    return told | {"stages_table": _stages(parts), "stages_largest": _largest(parts)}


def _stages(parts: Part) -> str:
    columns = [*names.DESTINATIONS, names.ALL]
    rows = [[stage, *(f"{max(stages_of(parts, name, stage), 0.0):.1f}" for name in columns)] for stage in names.STAGES]
    watched = [[named(parts["stages"]["rows"], name)[stage] for stage in names.STAGES] for name in columns]
    alone = [named(parts["stages"]["rows"], names.UNWATCHED.format(name))["cpu"] for name in columns]
    rows.append(["together", *(f"{median(map(sum, zip(*each, strict=True))):.0f}" for each in watched)])
    rows.append(["unwatched", *(f"{median(each):.0f}" for each in alone)])
    return table(["", *columns], rows)


def _largest(parts: Part) -> str:
    """Of all seven together, the three that take most."""
    found = sorted(names.STAGES, key=lambda stage: -stages_of(parts, names.ALL, stage))[:3]
    whole = sum(stages_of(parts, names.ALL, stage) for stage in names.STAGES)
    return _listed(f"{stage} {stages_of(parts, names.ALL, stage) / whole:.0%}" for stage in found)


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _core(rows: Sequence[Row]) -> str:
    raw, lanes = named(rows, names.RAW), named(rows, names.LANES)
    told = {
        "ledger, 100 scans a commit (µs a scan)": named(rows, names.LEDGER.format(100))["cpu"],
        "the same, 10 scans a commit": named(rows, names.LEDGER.format(10))["cpu"],
        "bare SQLite: the bodies inserted and deleted, 100 a commit": raw["sqlite"],
        "bare file: the bodies appended and synced, 100 at a time": raw["sync"],
        "decoding, routing and seven lanes, without ledger and sinks": lanes["loop"],
        "ledger as seven lanes drive it, in its own thread": lanes["store"],
        "`scribe-export --help` (ms of CPU)": named(rows, names.STARTUP)["help"],
    }
    return table(["", "CPU"], [[name, spread(values)] for name, values in told.items()])


def _aims(parts: Part) -> str:
    lanes = median(named(parts["core"]["rows"], names.LANES)["loop"])
    rows = [
        ["routing and lanes, µs a scan", f"at most {_AIMS['lanes']}", f"{lanes:.0f}", _met(lanes <= _AIMS["lanes"])]
    ]
    for milliseconds, told in ((0, "answers at once"), (_LATE, "15 ms late")):
        ours, guide = _pair(parts["clouds"], milliseconds)
        rows.append(_times(f"seven services, {told}: less CPU than the guide, times", ratio(guide, ours, "cpu"), "cpu"))
        rows.append(_times(f"seven services, {told}: its rate, times", ratio(ours, guide, "rate"), "rate"))
    files, stored = parts["files"]["rows"], late(parts["s3"], 0)
    for told, rows_of, other, own, aim in (
        ("files: less CPU than dlt, both gzip", files, names.DLT_GZIP, names.BATCHES_GZIP, "dlt"),
        ("files: less CPU than dlt, both plain", files, names.DLT_PLAIN, names.BATCHES_PLAIN, "dlt"),
        ("files: less CPU than target-jsonl, both plain", files, names.SINGER, names.BATCHES_PLAIN, "singer"),
        ("S3: less CPU than dlt, both gzip", stored, names.DLT_GZIP, names.BATCHES_GZIP, "dlt"),
        ("S3: less CPU than target-s3, both gzip", stored, names.SINGER_S3_GZIP, names.BATCHES_GZIP, "singer"),
    ):
        rows.append(_times(f"{told}, times", ratio(named(rows_of, other), named(rows_of, own), "cpu"), aim))
    return table(["", "aim", "measured", ""], rows)


def _times(what: str, measured: float, aim: str) -> list[str]:
    return [what, f"at least {_AIMS[aim]}", number(measured), _met(measured >= _AIMS[aim])]


def _met(reached: bool) -> str:
    return "met" if reached else "**missed**"
