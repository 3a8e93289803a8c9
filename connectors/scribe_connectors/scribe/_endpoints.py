"""Every endpoint of the SCRIBE integration guide, described once for both clients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote

import msgspec

from scribe_connectors.scribe._listed import Entry, read_list
from scribe_connectors.scribe.documents import AnyScanConfig, ScanDocument
from scribe_export.errors import Rejected

T = TypeVar("T")
ScanId = int | str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and how to read its answer.

    `repeatable` calls may be sent again when it is unknown whether they took effect. `names_scan` tells that a 404 speaks
    of a scan, not of a wrong URL. `timeout` in seconds is at most the connection's. `decode` raises msgspec.DecodeError
    for an answer in another form.
    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    params: Mapping[str, int] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = False
    names_scan: bool = False
    timeout: float | None = None


def health() -> Call[bytes]:
    return Call("GET", "/health", bytes, repeatable=True, timeout=5.0)


def scan(config: AnyScanConfig, timeout: float) -> Call[bytes]:
    """Perform a scan; its answer is the completed scan. Raises `Rejected` for what cannot be sent or cannot finish."""
    numbers = {name: getattr(config, name) for name in ("frequency", "duration", "amplitude")}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise Rejected(f"{name} must be a number, not {value!r:.80}")
    if config.duration >= timeout:
        raise Rejected(f"a scan of {config.duration:g} s cannot end within the timeout of {timeout:g} s; raise timeout")
    payload = {"signal_type": config.signal_type, **numbers}
    return Call("POST", "/scan", _object_bytes, body=msgspec.json.encode(payload))


def history(limit: int) -> Call[list[ScanDocument]]:
    """The newest scans, newest first."""
    return Call("GET", "/scans", _scan_documents, params={"limit": limit}, repeatable=True)


def entries(limit: int) -> Call[list[Entry]]:
    """As `history`, of each scan only its `Entry`."""
    return Call("GET", "/scans", read_list, params={"limit": limit}, repeatable=True)


def details(scan_id: ScanId) -> Call[bytes]:
    return Call("GET", f"/scans/{_segment(scan_id)}", _object_bytes, repeatable=True, names_scan=True)


def feedback(scan_id: ScanId, feedback_type: str, feedback_data: Mapping[str, Any]) -> Call[dict[str, Any]]:
    payload = {"scan_id": scan_id, "feedback_type": feedback_type, "feedback_data": feedback_data}
    return Call("POST", "/feedback", _object, body=msgspec.json.encode(payload), names_scan=True)


def compare(scan_ids: Sequence[ScanId]) -> Call[dict[str, Any]]:
    body = msgspec.json.encode(list(scan_ids))
    return Call("POST", "/compare", _object, body=body, repeatable=True, names_scan=True)


def scan_document(body: bytes) -> ScanDocument:
    return cast("ScanDocument", msgspec.json.decode(body))


class _Scans(msgspec.Struct):
    scans: list[dict[str, Any]] = []


def _scan_documents(body: bytes) -> list[ScanDocument]:
    return cast("list[ScanDocument]", msgspec.json.decode(body, type=_Scans).scans)


def _object(body: bytes) -> dict[str, Any]:
    return msgspec.json.decode(body, type=dict[str, Any])


def _object_bytes(body: bytes) -> bytes:
    # The form is checked without building the document: a scan can hold megabytes of audio.
    msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return body


def _segment(scan_id: ScanId) -> str:
    text = quote(str(scan_id), safe="")
    if not text:
        raise Rejected("scan_id is empty")
    return text if text.strip(".") else text.replace(".", "%2E")
