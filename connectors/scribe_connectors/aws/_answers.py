"""What botocore's connections let pass: an answer to ``Expect: 100-continue`` that is cut off, or comes slowly."""

import http.client
from typing import Any

from scribe_export.whole_answers import TimelyConnection, whole_answers


class _Expecting(TimelyConnection):
    """Before a large body is sent, S3 says that it will take it."""

    def _handle_expect_response(self, message_body: Any) -> Any:
        with self.in_time():
            return super()._handle_expect_response(message_body)  # type: ignore[misc]  # botocore's has it

    def _consume_headers(self, fp: Any) -> None:
        # botocore's own would read for ever where the connection has ended.
        while (line := fp.readline()) != b"\r\n":
            if not line:
                raise http.client.RemoteDisconnected("the connection ended before it said to continue")
        self.done()


def take_whole_answers_only(client: Any) -> None:
    """For a client of botocore, which has no other place to say of what kind its connections are."""
    http_session = client._endpoint.http_session  # noqa: SLF001 - as the docstring says
    pools = whole_answers(http_session._pool_classes_by_scheme, _Expecting)  # noqa: SLF001 - as above
    http_session._pool_classes_by_scheme = http_session._manager.pool_classes_by_scheme = pools  # noqa: SLF001 - as above
