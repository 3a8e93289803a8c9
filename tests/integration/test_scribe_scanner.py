import pytest
from support.scripted_scribe import Answer, ScriptedScribe

from scribe_connectors.scribe.api import ScribeApiScanner
from scribe_connectors.scribe.options import ScribeScannerOptions
from scribe_export.errors import BreakerOpen, Misconfigured, Rejected, Transient
from scribe_export.interface import Context
from scribe_export.model import ScanRequest

pytestmark = pytest.mark.anyio


def made(api: ScriptedScribe) -> ScribeApiScanner:
    return ScribeApiScanner(ScribeScannerOptions(url=api.url, timeout=5.0), Context("scanner"))


async def test_a_scan_gives_the_raw_bytes_the_api_sent(api: ScriptedScribe) -> None:
    scanner = made(api)
    await scanner.open()
    body = await scanner.scan(ScanRequest(frequency=220.0))
    await scanner.close()
    assert body == api.scans[1]
    assert [seen.body for seen in api.requests if seen.target == "/scan"] == [
        b'{"signal_type":"sine","frequency":220.0,"duration":2.0,"amplitude":0.5}'
    ]


@pytest.mark.parametrize(
    ("answer", "applied"),
    [
        (Answer(500), "unknown"),
        (Answer(reset=True), "unknown"),
        (Answer(cut=True), "unknown"),
        (Answer(body=b'{"status":"queued"}'), "unknown"),
        (Answer(429), "no"),
    ],
)
async def test_a_request_is_sent_once_and_the_error_says_if_it_was_performed(
    api: ScriptedScribe, answer: Answer, applied: str
) -> None:
    scanner = made(api)
    await scanner.open()
    api.script = lambda _, __: answer
    with pytest.raises(Transient) as caught:
        await scanner.scan(ScanRequest())
    await scanner.close()
    assert caught.value.applied == applied
    assert api.paths("/scan") == ["/scan"]


async def test_a_request_that_can_never_be_performed_is_rejected(api: ScriptedScribe) -> None:
    scanner = made(api)
    await scanner.open()
    with pytest.raises(Rejected, match="raise timeout"):
        await scanner.scan(ScanRequest(duration=6.0))
    api.script = lambda _, __: Answer(422, b'{"detail":"frequency is above 20 kHz"}')
    with pytest.raises(Rejected, match="above 20 kHz"):
        await scanner.scan(ScanRequest())
    await scanner.close()


async def test_a_dead_scanner_says_that_nothing_was_performed(api: ScriptedScribe) -> None:
    scanner = made(api)
    await scanner.open()
    api.script = lambda _, __: Answer(500)
    for _ in range(5):
        with pytest.raises(Transient):
            await scanner.scan(ScanRequest())
    with pytest.raises(BreakerOpen) as caught:
        await scanner.scan(ScanRequest())
    await scanner.close()
    assert caught.value.applied == "no"
    assert len(api.paths("/scan")) == 5


async def test_opening_tells_what_is_wrong(api: ScriptedScribe) -> None:
    api.script = lambda _, __: Answer(404)
    with pytest.raises(Misconfigured, match="root of the SCRIBE API"):
        await made(api).open()
    api.script = lambda _, __: Answer(503)
    scanner = made(api)
    with pytest.raises(Transient):
        await scanner.open()
    api.script = lambda _, __: None
    await scanner.open()
    await scanner.close()
