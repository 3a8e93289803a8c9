"""Requests and replies as the guide's producers and consumers write and read them."""

import json

import pytest

from scribe_export.journal.requests import RequestRow
from scribe_export.model import Incoming, ScanRequest
from scribe_export.requests.message import read_request, reply_of


def test_the_guides_message_is_read() -> None:
    body = json.dumps(
        {
            "request_id": "scan-001",
            "config": {"signal_type": "sweep", "frequency": 220, "duration": 1.5, "amplitude": 0.25},
            "timestamp": 12.5,
        }
    ).encode()
    found = read_request(Incoming(body, "message 7", id="7"), "asks")
    assert (found.request_id, found.request, found.invalid) == (
        "asks/scan-001",
        ScanRequest("sweep", 220.0, 1.5, 0.25),
        "",
    )


@pytest.mark.parametrize("body", [b'{"config": {"frequency": 100}}', b'{"frequency": 100}'])
def test_a_request_without_an_id_has_that_of_its_message(body: bytes) -> None:
    found = read_request(Incoming(body, "message 7", id="m-7"), "asks")
    assert (found.request_id, found.request) == ("asks/m-7", ScanRequest(frequency=100.0))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "a request is a JSON object"),
        (b"\xff", "not JSON"),
        (b'{"config": {"frequency": "high"}}', "config: Expected `float`, got `str`"),
        (b'{"config": null}', "config: Expected `object`, got `null`"),
        (b'{"request_id": {}, "config": {}}', "request_id must be text or a number"),
        (b'{"request_id": "' + b"x" * 257 + b'"}', "at most 256 characters"),
        (b'{"x": "' + b"x" * 70_000 + b'"}', "a request of 70009 bytes"),
    ],
)
def test_what_can_never_be_performed_says_why(body: bytes, why: str) -> None:
    found = read_request(Incoming(body, "message 7", id="m-7"), "asks")
    assert why in found.invalid
    assert found.request_id == "asks/m-7"


def test_a_wrong_request_keeps_the_id_by_which_it_will_be_answered() -> None:
    assert read_request(Incoming(b'{"request_id": 9, "config": 1}', id="m"), "asks").request_id == "asks/9"


def test_where_a_sender_wants_its_reply_goes_with_the_request() -> None:
    assert read_request(Incoming(b"{}", id="m", reply_to="there"), "asks").reply_to == "there"
    assert read_request(Incoming(b"[]", id="m", reply_to="there"), "asks").reply_to == "there"
    row = RequestRow(1, "asks/m", ScanRequest(), "failed", None, "no", "asks", owed=True, reply_to="there")
    assert reply_of(row, 1.0).to == "there"


def test_replies_are_the_guides() -> None:
    scan = b'{"scan_id": 1, "precise": 0.10000000000000000001}'
    done = RequestRow(1, "asks/r1", ScanRequest(), "done", 5, "", "asks", owed=True, answer=scan)
    assert reply_of(done, 100.0).to == ""
    assert reply_of(done, 100.0) == b'{"request_id":"r1","result":' + scan + b',"timestamp":100.0}'
    cached = RequestRow(1, "asks/r1", ScanRequest(), "done", None, "", "asks", owed=True, answer=scan)
    assert json.loads(reply_of(cached, 100.0))["cached"] is True
    failed = RequestRow(1, "asks/r1", ScanRequest(), "failed", None, "rejected: too loud", "asks", owed=True)
    assert json.loads(reply_of(failed, 1.0)) == {
        "request_id": "r1",
        "result": None,
        "timestamp": 1.0,
        "error": "rejected: too loud",
    }
