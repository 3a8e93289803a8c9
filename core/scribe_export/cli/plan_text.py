"""A plan as a person reads it: each scan's way first, then what each destination would get."""

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from scribe_export.archives.codec import DAMAGED, Compression, decompressed
from scribe_export.cli.printable import printable
from scribe_export.model import Request
from scribe_export.planning import Fate, Plan, PlannedBatch, PlannedDestination, PlannedRequest, PlannedScan

BODY_LINES = 40
LINE_LENGTH = 160
SCANS_NAMED = 10
_HEAD = 64 * 1024
_SAID = {
    "sent": "sent",
    "trimmed": "sent, trimmed",
    "claim_checked": "sent as a claim check",
    "refused": "refused",
    "not_matched": "not sent",
    "kept": "not sent",
}
_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def lines(plan: Plan) -> Iterator[str]:
    """What is printed; safe for a terminal, whatever the scans hold."""
    for scan in plan.scans:
        yield from _scan(scan)
    for planned in plan.destinations:
        yield ""
        yield from _destination(planned)


def _scan(scan: PlannedScan) -> Iterator[str]:
    if scan.outcome == "invalid":
        yield f"{printable(scan.origin)}: no scan: it would be kept as a dead letter, class {scan.kind}"
        yield f"  {printable(scan.why)}"
        return
    yield f"scan {printable(scan.scan_id)} from {printable(scan.origin)}, {_bytes(scan.size)}, sha256 {scan.sha256}"
    if scan.outcome != "new":
        yield f"  {scan.outcome}: {printable(scan.why)}"
    if scan.fates and all(fate.verdict == "not_matched" for fate in scan.fates.values()):
        yield "  goes nowhere: no destination matched"
    width = max(map(len, scan.fates), default=0)
    for name, fate in scan.fates.items():
        yield f"  {name.ljust(width)}  {_fate(fate, scan)}"


def _fate(fate: Fate, scan: PlannedScan) -> str:
    said = _SAID[fate.verdict]
    if fate.verdict == "refused":
        said = f"refused: dead letter, class {fate.kind}"
    if fate.verdict == "not_matched":
        said = "not sent: the rule does not match"
    return f"{said}: {printable(fate.why)}" if fate.why not in {"", scan.why} else said


def _destination(planned: PlannedDestination) -> Iterator[str]:
    count = len(planned.batches)
    yield f"{planned.name} ({planned.type}): {_count(count, 'batch', 'batches')}"
    if count:
        yield f"  {planned.effect.kind.value}, by {planned.effect.by}"
    for batch in planned.batches:
        yield from _batch(batch)


def _batch(batch: PlannedBatch) -> Iterator[str]:
    named = f" as {printable(batch.name)}" if batch.name else ""
    yield f"  batch {batch.id}{named}: {_bytes(batch.size)} of {_scans(batch.scans)}"
    if batch.claims:
        yield f"    to {batch.store} first, the whole scans:"
        yield from _requests(batch.claims)
        yield "    and then:"
    if batch.problem:
        yield f"    its requests cannot be shown: {printable(batch.problem)}"
    elif not batch.requests:
        yield "    its requests cannot be shown: this destination does not tell them offline"
    yield from _requests(batch.requests)


def _requests(requests: Iterable[PlannedRequest]) -> Iterator[str]:
    for planned in requests:
        request = planned.request
        yield f"    {request.method} {printable(request.target)}"
        if planned.scans:
            yield f"      with {_scans(planned.scans)}"
        for name, value in request.headers.items():
            yield f"      {name}: {printable(value)}"
        yield from _body(request)


def _body(request: Request) -> Iterator[str]:
    body = request.body
    size = _bytes(len(body))
    if request.headers.get("content-encoding") == "aws-chunked":
        body = _unframed(body)
        size += f", framed in chunks around {_bytes(len(body))}"
    compression = next((name for magic, name in _MAGIC.items() if body.startswith(magic)), None)
    if compression:
        try:
            plain = decompressed(io.BytesIO(body), compression).read(_HEAD)
        except (OSError, *DAMAGED):
            plain = b""
        yield f"      {size} of {compression}, which begin:"
    else:
        yield f"      {size}{':' if body else ''}"
        plain = body
    yield from (f"        {line}" for line in _shown(plain))


def _unframed(body: bytes) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html"""
    content, at = b"", 0
    while size := int(body[at : (end := body.index(b"\r\n", at))].partition(b";")[0], 16):
        content += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return content


def _shown(plain: bytes) -> Iterator[str]:
    try:
        text = plain[:_HEAD].decode("utf-8", "strict" if len(plain) <= _HEAD else "ignore")
    except UnicodeDecodeError:
        yield "(not text)"
        return
    # JSON lines, a form, or the head of something longer are shown as they are.
    with suppress(msgspec.DecodeError, RecursionError):
        text = msgspec.json.format(text, indent=2)
    found = text.splitlines()
    for line in found[:BODY_LINES]:
        shown = printable(line)
        yield shown if len(shown) <= LINE_LENGTH else shown[:LINE_LENGTH] + "…"
    if len(found) > BODY_LINES:
        yield f"… {len(found) - BODY_LINES} more lines; --json has all of it"


def _scans(ids: Iterable[str]) -> str:
    found = list(ids)
    named = ", ".join(printable(one) for one in found[:SCANS_NAMED])
    more = f" and {len(found) - SCANS_NAMED} more" if len(found) > SCANS_NAMED else ""
    return f"{'scan' if len(found) == 1 else 'scans'} {named}{more}"


def _bytes(count: int) -> str:
    return _count(count, "byte", "bytes")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
