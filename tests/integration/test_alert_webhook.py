"""One alert to a real HTTP server, and what its answers mean."""

import functools
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.certificates import certificate
from support.front import Answer
from support.loop import in_loop
from support.receiver import Receiver
from support.scripted_scribe import Answer as Dripped
from support.scripted_scribe import ScriptedScribe

from scribe_export.alerts.event import Event
from scribe_export.alerts.options import WebhookOptions
from scribe_export.alerts.webhook import Webhook
from scribe_export.errors import Misconfigured, SinkError, Throttled, Transient
from scribe_local.process import free_port

EVENT = Event("destination_held", "archive", "raised", "5 failures in a row: refused", 1_750_000_000.0, 1_750_000_090.7)
SECRET = "s3cr3t-T0K3N"


def options(url: str, **more: Any) -> WebhookOptions:
    given = {"url": f"{url}/hook?token={SECRET}", "headers": {"Authorization": f"Bearer {SECRET}"}, **more}
    return WebhookOptions.model_validate_json(json.dumps(given))


async def send(url: str, folder: Path = Path(), **more: Any) -> None:
    webhook = Webhook(options(url, **more), folder)
    try:
        await webhook.send(EVENT.body("lab-scans"))
    finally:
        await webhook.close()


async def failing(url: str, folder: Path = Path(), **more: Any) -> SinkError:
    with pytest.raises(SinkError) as caught:
        await send(url, folder, **more)
    assert SECRET not in str(caught.value)
    return caught.value


@in_loop
async def test_it_is_posted_as_json_with_the_operators_headers() -> None:
    with Receiver() as receiver:
        await send(receiver.url, headers={"authorization": f"Bearer {SECRET}", "user-agent": "lab"})
    [came] = receiver.received
    assert (came.method, came.path) == ("POST", f"/hook?token={SECRET}")
    assert came.headers["content-type"] == "application/json"
    assert came.headers["authorization"] == f"Bearer {SECRET}"
    assert came.headers["user-agent"] == "lab"
    assert json.loads(came.body) == {
        "alert": "destination_held",
        "state": "raised",
        "pipeline": "lab-scans",
        "name": "archive",
        "reason": "5 failures in a row: refused",
        "since": "2025-06-15T15:06:40Z",
        "at": "2025-06-15T15:08:10Z",
        "text": "lab-scans: destination_held archive raised: 5 failures in a row: refused",
    }


@pytest.mark.parametrize(
    ("status", "headers", "kind", "applied", "after"),
    [
        (500, {}, Transient, "unknown", None),
        (503, {"Retry-After": "7"}, Transient, "unknown", 7.0),
        (503, {"Retry-After": "soon"}, Transient, "unknown", None),
        (408, {}, Transient, "unknown", None),
        (429, {"Retry-After": "999999"}, Throttled, "no", 3600.0),
        (400, {}, Misconfigured, "no", None),
        (401, {}, Misconfigured, "no", None),
        (404, {}, Misconfigured, "no", None),
    ],
)
@in_loop
async def test_every_other_answer_is_a_failure(
    status: int, headers: Mapping[str, str], kind: type[SinkError], applied: str, after: float | None
) -> None:
    answer = Answer(status, body=SECRET.encode(), headers=headers)
    with Receiver() as receiver, receiver.scripted(lambda _: answer):
        error = await failing(receiver.url)
    assert (type(error), error.applied, getattr(error, "retry_after", None)) == (kind, applied, after)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@in_loop
async def test_a_redirect_is_not_followed(status: int) -> None:
    with Receiver() as elsewhere, Receiver() as receiver:
        answer = Answer(status, headers={"Location": f"{elsewhere.url}/hook"})
        with receiver.scripted(lambda _: answer):
            error = await failing(receiver.url)
    assert isinstance(error, Misconfigured)
    assert "redirected" in str(error)
    assert len(receiver.received) == 1
    assert elsewhere.received == []


@in_loop
async def test_a_receiver_that_hangs_is_left_after_the_timeout_and_may_have_heard() -> None:
    with Receiver() as receiver, receiver.hanging():
        began = time.monotonic()
        error = await failing(receiver.url, timeout="300ms")
        assert time.monotonic() - began < 5
    assert (type(error), error.applied, str(error)) == (Transient, "unknown", "no answer within 0.3 s")


@in_loop
async def test_an_answer_that_comes_in_drips_is_not_waited_for() -> None:
    with ScriptedScribe() as dripping:
        dripping.script = lambda _, __: Dripped(drip_headers=True)
        began = time.monotonic()
        error = await failing(dripping.url, timeout="500ms")
        assert time.monotonic() - began < 5
    assert (type(error), error.applied) == (Transient, "unknown")


@in_loop
async def test_nobody_who_listens_has_surely_not_heard() -> None:
    error = await failing(f"http://127.0.0.1:{free_port()}")
    assert (type(error), error.applied, str(error)) == (Transient, "no", "Connection refused")


@in_loop
async def test_a_certificate_has_to_be_trusted(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.chain, made.key)
    with Receiver(tls=tls) as receiver:
        error = await failing(receiver.url)
        assert isinstance(error, Misconfigured)
        assert "set tls.ca_file" in str(error)
        assert receiver.received == []
        await send(receiver.url, tmp_path, tls={"ca_file": made.chain.name})
        assert len(receiver.received) == 1
    error = await failing(receiver.url, tmp_path, tls={"ca_file": "absent.pem"})
    assert isinstance(error, Misconfigured)
    assert "absent.pem" in str(error)


@pytest.mark.parametrize(("trust_env", "through"), [(False, False), (True, True)])
def test_a_proxy_of_the_environment_is_used_only_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, *, trust_env: bool, through: bool
) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        anyio.run(functools.partial(send, receiver.url, trust_env=trust_env))
        assert (len(proxy.received), len(receiver.received)) == ((1, 0) if through else (0, 1))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        anyio.run(functools.partial(send, receiver.url, trust_env=trust_env))
        assert len(proxy.received) == through
