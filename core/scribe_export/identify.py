"""What a body is before it is journalled: which scan, routed where, or why it is none."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo

from scribe_export.errors import InvalidScan
from scribe_export.journal.ingest import NewScan
from scribe_export.model import Incoming, Record
from scribe_export.routing.router import Router
from scribe_export.scan import read_fields


@dataclass(frozen=True, slots=True)
class Origin:
    """The source that bodies come from; `scope` is set before its scan ids, `any_size` takes what is too large too."""

    source: str
    scope: str | None = None
    any_size: bool = False


class Identifier:
    """`max_record` is in bytes; a larger body is kept as a dead letter, class ``too_large``."""

    def __init__(
        self, router: Router, bits_by_name: Mapping[str, int], *, max_record: int, assume: tzinfo = UTC
    ) -> None:
        self._router, self._bits, self._max_record, self._assume = router, bits_by_name, max_record, assume

    def identify(self, item: Incoming, origin: Origin, received_at: float) -> NewScan:
        """The scan with its routes, as journalled at `received_at` (seconds since the epoch); never raises for a body."""
        body = item.body
        sha256 = hashlib.sha256(body).hexdigest()
        if len(body) > self._max_record and not origin.any_size:
            why = f"{len(body)} bytes, and journal.max_record is {self._max_record}"
            return _invalid(item, origin, sha256, "too_large", why)
        try:
            fields = read_fields(body)
        except InvalidScan as error:
            return _invalid(item, origin, sha256, "invalid", str(error))
        scan_id = f"{origin.scope}:{fields.scan_id}" if origin.scope else fields.scan_id
        record = Record(
            seq=0,
            scan_id=scan_id,
            sha256=sha256,
            body=body,
            source=origin.source,
            received_at=received_at,
            fields=fields,
            assume=self._assume,
        )
        routing = self._router.route(record)
        failed = {self._bits[name]: why for name, why in routing.failed.items()} if routing.failed else {}
        return NewScan(scan_id, sha256, body, origin.source, routing.mask, failed, record=record)


def _invalid(item: Incoming, origin: Origin, sha256: str, kind: str, why: str) -> NewScan:
    # A long origin, such as a URL with a long id, must not push the reason away.
    text = f"{item.origin:.200}: {why}" if item.origin else why
    return NewScan(f"sha256:{sha256}", sha256, item.body, origin.source, invalid=(kind, text[:512]))
