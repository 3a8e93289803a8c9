"""What `status --json` prints, and what the running exporter answers at ``/status``: one form for both."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scribe_export.journal.status import JournalStatus
from scribe_export.source_states import SourceState


def status_document(
    status: JournalStatus, *, used: int, quota: int | None, sources: Sequence[SourceState] | None
) -> dict[str, Any]:
    """As JSON values. `used` and `quota` are bytes of the journal, `quota` None if the config does not say it.

    `sources` are those that the running exporter reads, None if none runs.
    """
    return {
        **asdict(status),
        "destinations": {row.pop("name"): row for row in (asdict(one) for one in status.destinations)},
        "running": sources is not None,
        "journal": {"used_bytes": used, "quota_bytes": quota},
        "sources": {row.pop("name"): row for row in (asdict(one) for one in sources or ())},
    }
