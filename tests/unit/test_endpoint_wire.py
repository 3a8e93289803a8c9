"""What becomes of the bytes that somebody sends to the endpoint, however they arrive."""

from collections.abc import Iterable
from contextlib import suppress

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scribe_export.endpoint.address import Address, is_loopback, parse_address
from scribe_export.endpoint.wire import MAX_HEAD, Answer, Refused, Request, encoded, read_request


class Pieces:
    """A connection whose sender sends these pieces, and closes its half."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self.pieces:
            raise anyio.EndOfStream
        first, self.pieces[:1] = self.pieces[0][:max_bytes], [rest for rest in [self.pieces[0][max_bytes:]] if rest]
        return first


def read(*pieces: bytes) -> Request:
    async def reading() -> Request:
        return await read_request(Pieces(pieces))

    return anyio.run(reading)


GOOD = b"GET /metrics?x=1 HTTP/1.1\r\nHost: anything\r\nAccept:  text/plain \r\n\r\n"


def test_a_request_is_read_however_it_is_cut() -> None:
    whole = Request("GET", "/metrics", {"host": "anything", "accept": "text/plain"})
    assert read(GOOD) == whole
    assert read(*(bytes([byte]) for byte in GOOD)) == whole
    assert read(GOOD.replace(b"\r\n", b"\n")) == whole


def test_the_absolute_form_names_the_same_page() -> None:
    assert read(b"GET http://any.host:99/livez?a HTTP/1.1\r\n\r\n").path == "/livez"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\n", 405),
        (b"DELETE /metrics HTTP/1.1\r\n", 405),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 400),
        (b"get / HTTP/1.1\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n", 400),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * MAX_HEAD, 431),
        (b"G" * (MAX_HEAD + 4096), 431),
    ],
)
def test_what_is_no_request_is_refused_before_its_end(sent: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        read(sent)
    assert caught.value.answer.status == status


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_are_a_request_or_refused_or_end(pieces: list[bytes]) -> None:
    with suppress(Refused, anyio.EndOfStream):
        read(*pieces)


def test_head_gets_the_headers_alone() -> None:
    answer = Answer("grün\n")
    assert b"Content-Length: 6\r\n" in encoded(answer)
    assert encoded(answer).startswith(encoded(answer, head_only=True))
    assert encoded(answer, head_only=True).endswith(b"\r\n\r\n")


def test_addresses_are_read_as_they_stand_in_urls() -> None:
    assert parse_address("127.0.0.1:9464") == Address("127.0.0.1", 9464)
    assert parse_address("[::1]:0") == Address("::1", 0)
    assert str(parse_address("[::1]:80")) == "[::1]:80"
    assert parse_address("exporter.lab:1").host == "exporter.lab"


def test_only_this_machine_reaches_a_loopback_address() -> None:
    assert is_loopback("127.0.0.53")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")  # noqa: S104 - nothing is bound
    assert not is_loopback("::")
    assert not is_loopback("fe80::1%eth0")
