"""What a user may write for the SCRIBE WebSocket."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from scribe_connectors.scribe._transport import check_base_url
from scribe_connectors.scribe.options import ScribeSourceOptions
from scribe_export.options import Duration, Size

_SCHEMES = {"ws": "http", "wss": "https"}


def check_ws_url(value: str) -> str:
    """A ws or wss URL, which obeys the same rules as an http one; raise ValueError for one that cannot be."""
    scheme = urlsplit(value).scheme
    if scheme not in _SCHEMES:
        raise ValueError("must be a ws:// or wss:// URL with a host")
    return scheme + check_base_url(_SCHEMES[scheme] + value[len(scheme) :]).removeprefix(_SCHEMES[scheme])


class ScribeWebSocketOptions(ScribeSourceOptions):
    """Completed scans, told of by the SCRIBE WebSocket and fetched from the API."""

    ws_url: Annotated[str, AfterValidator(check_ws_url)] | None = None
    """The WebSocket, like ws://localhost:8000/ws; by default `url` with /ws behind it."""
    poll_interval: Duration = Field(default=60.0, gt=0)
    """Seconds between two looks at the history, whatever was heard: a net under the WebSocket."""
    max_message: Size = Field(default=50 * 2**20, ge=1024)
    """The largest message taken; a larger one closes the connection, and its scan is found in the history."""
    ping_interval: Duration = Field(default=20.0, gt=0)
    """Seconds between two pings."""
    ping_timeout: Duration = Field(default=20.0, gt=0)
    """Seconds a ping may stay unanswered before the connection is given up."""

    @property
    def address(self) -> str:
        """Where the WebSocket is."""
        return self.ws_url or f"ws{self.url.removeprefix('http')}/ws"
