"""Rows in pages: https://cloud.google.com/bigquery/docs/paging-results"""

import base64
from typing import Any

import msgspec

from scribe_local.bigquery.outgoing import cells
from scribe_local.bigquery.refusals import invalid
from scribe_local.bigquery.schema import Fields
from scribe_local.bigquery.store import Document

# Clients may ask for more; the real service ends a page at about 10 MB.
_ROWS = 10_000
_MOST_ROWS = 100_000


class Page(msgspec.Struct, frozen=True):
    """Which rows are asked for; `most` None leaves it to the server."""

    start: int = 0
    most: int | None = None
    whole_timestamps: bool = False

    @property
    def rows(self) -> int:
        return min(_ROWS if self.most is None else self.most, _MOST_ROWS)

    def answer(self, fields: Fields, rows: Any, total: int) -> Document:
        """`rows` is a pyarrow table of those from `start` on."""
        found: Document = {"totalRows": str(total)}
        shown = rows.slice(0, self.rows)
        if shown.num_rows:
            found["rows"] = cells(fields, shown, whole_timestamps=self.whole_timestamps)
        after = self.start + shown.num_rows
        if after < total and self.rows:
            found["pageToken"] = base64.urlsafe_b64encode(str(after).encode()).decode()
        return found


def page_of(query: dict[str, str]) -> Page:
    """From a request's parameters. Raises `Refused`."""
    try:
        token = query.get("pageToken")
        start = int(base64.urlsafe_b64decode(token)) if token else int(query.get("startIndex") or 0)
        most = int(query["maxResults"]) if query.get("maxResults") else None
    except ValueError:
        raise invalid("Invalid page token, startIndex or maxResults") from None
    return Page(start, most, query.get("formatOptions.useInt64Timestamp", "").lower() == "true")
