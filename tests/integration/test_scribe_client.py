import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from support.missing import missing
from support.scripted_scribe import Answer, ScriptedScribe
from support.stepped_clock import SteppedClock

from scribe_connectors.scribe.client import (
    AsyncScribeClient,
    ScanConfig,
    ScribeClient,
    speaks_against,
)
from scribe_export.errors import BreakerOpen, Misconfigured, Rejected, SinkError, Throttled, Transient
from scribe_export.patterns import CircuitBreaker, RetryPolicy

ONCE = RetryPolicy(max_attempts=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def patient(clock: SteppedClock, attempts: int = 3) -> RetryPolicy:
    return RetryPolicy(attempts, clock=clock, sleep=clock.sleep_now)


def answering(path: str, *answers: Answer) -> Callable[[str, str], Answer | None]:
    left = list(answers)
    return lambda _, target: left.pop(0) if left and target.startswith(path) else None


@dataclass
class TheirConfig:
    signal_type: str = "sine"
    frequency: float = 440.0
    duration: float = 2.0
    amplitude: float = 0.5


def test_every_method_of_the_guide_sends_exactly_the_guides_request(api: ScriptedScribe) -> None:
    api.put(1, 2, 3)
    with ScribeClient(base_url=api.url + "/", api_key="k-1") as client:
        assert client.health_check() is True
        performed = client.perform_scan(TheirConfig(frequency=220))
        assert performed["scan_id"] == 4
        assert [scan["scan_id"] for scan in client.get_scan_history()] == [4, 3, 2, 1]
        assert [scan["scan_id"] for scan in client.get_scan_history(limit=2)] == [4, 3]
        assert client.get_scan_details(2)["scan_id"] == 2
        assert client.scan_bytes(2) == api.scans[2]
        client.add_feedback(2, "material_correction", {"correct_material": "oak"})
        client.compare_scans([1, 2])
    assert [(seen.method, seen.target, seen.body) for seen in api.requests] == [
        ("GET", "/health", b""),
        ("POST", "/scan", b'{"signal_type":"sine","frequency":220,"duration":2.0,"amplitude":0.5}'),
        ("GET", "/scans?limit=10", b""),
        ("GET", "/scans?limit=2", b""),
        ("GET", "/scans/2", b""),
        ("GET", "/scans/2", b""),
        (
            "POST",
            "/feedback",
            b'{"scan_id":2,"feedback_type":"material_correction","feedback_data":{"correct_material":"oak"}}',
        ),
        ("POST", "/compare", b"[1,2]"),
    ]
    assert {seen.headers["x-api-key"] for seen in api.requests} == {"k-1"}
    assert api.connections == 1


@pytest.mark.anyio
async def test_the_async_client_sends_the_same(api: ScriptedScribe) -> None:
    api.put(1, 2, 3)
    with ScribeClient(api.url) as blocking:
        calls: list[tuple[str, list[Any]]] = [
            ("health_check", []),
            ("get_scan_history", [2]),
            ("get_scan_details", [2]),
            ("scan_bytes", ["a/b c"]),
            ("add_feedback", [2, "x", {}]),
            ("compare_scans", [[1, 2]]),
            ("perform_scan", [ScanConfig()]),
        ]
        api.scans["a/b c"] = b"{}"
        async with AsyncScribeClient(api.url) as client:
            for name, arguments in calls:
                api.requests.clear()
                expected = getattr(blocking, name)(*arguments)
                answer = await getattr(client, name)(*arguments)
                assert (name == "perform_scan") or answer == expected
                first, second = api.requests
                assert (first.method, first.target, first.body) == (second.method, second.target, second.body)


@pytest.mark.parametrize(
    ("answer", "kind", "applied", "words"),
    [
        (Answer(401, b'{"detail":"no key"}'), Misconfigured, "no", "401 no key; check api_key"),
        (Answer(403, b"<html>denied</html>"), Misconfigured, "no", "403 <html>denied</html>"),
        (Answer(302, b"", {"Location": "https://elsewhere"}), Misconfigured, "no", "redirected"),
        (Answer(400, b'{"detail":[{"loc":["frequency"]}]}'), Rejected, "no", '400 [{"loc":["frequency"]}]'),
        (Answer(422, b'{"detail":"bad\\n\\u0007thing"}'), Rejected, "no", "422 bad thing"),
        (Answer(404, b'{"detail":"no such scan"}'), Rejected, "no", "404 no such scan"),
        (Answer(429, headers={"Retry-After": "7"}), Throttled, "no", "429"),
        (Answer(503, headers={"Retry-After": "7"}), Transient, "unknown", "503"),
        (Answer(500, b"boom"), Transient, "unknown", "500 boom"),
        (Answer(body=b'{"scan_id": '), Transient, "unknown", "not what the guide says"),
        (Answer(body=b"[]"), Transient, "unknown", "not what the guide says"),
        (Answer(cut=True, body=b'{"scan_id": 1}'), Transient, "unknown", "/scans/1"),
        (Answer(reset=True), Transient, "unknown", "/scans/1"),
        (Answer(hang=True), Transient, "unknown", "timed out waiting for the answer"),
        (Answer(drip_body=True, body=b" " * 200), Transient, "unknown", "no complete answer within 0.3 s"),
        (Answer(body=b'"' + b"x" * 5000 + b'"'), Rejected, "no", "larger than 4096 bytes"),
    ],
)
def test_each_failure_has_its_meaning(
    api: ScriptedScribe, answer: Answer, kind: type[SinkError], applied: str, words: str
) -> None:
    api.script = lambda _, __: answer
    with ScribeClient(api.url, timeout=0.3, max_response=4096, retry=ONCE) as client:
        with pytest.raises(SinkError) as caught:
            client.get_scan_details(1)
        assert client.health_check() is (answer.status == 200 and answer.body in {b"[]", b'{"scan_id": '})

    async def same() -> None:
        async with AsyncScribeClient(api.url, timeout=0.3, max_response=4096, retry=ONCE) as client:
            with pytest.raises(kind) as again:
                await client.get_scan_details(1)
            assert again.value.applied == applied

    anyio.run(same)
    assert type(caught.value) is kind
    assert caught.value.applied == applied
    assert words in str(caught.value)
    if answer.headers.get("Retry-After"):
        assert isinstance(caught.value, Transient)
        assert caught.value.retry_after == 7


@pytest.mark.anyio
async def test_headers_that_drip_do_not_outlast_the_async_clients_deadline(api: ScriptedScribe) -> None:
    api.script = lambda _, __: Answer(drip_headers=True)
    async with AsyncScribeClient(api.url, timeout=0.3, retry=ONCE) as client:
        with pytest.raises(Transient, match=r"within 0\.3 s"), anyio.fail_after(1):
            await client.scan_bytes(1)


def test_a_refused_connection_surely_did_nothing_and_is_tried_again(clock: SteppedClock) -> None:
    with ScribeClient(f"http://127.0.0.1:{free_port()}", retry=patient(clock)) as client:
        assert client.health_check() is False
        with pytest.raises(Transient, match="Connection refused") as caught:
            client.perform_scan(ScanConfig())
    assert caught.value.applied == "no"
    assert len(clock.slept) == 2


@pytest.mark.parametrize("answer", [Answer(503), Answer(reset=True), Answer(cut=True), Answer(hang=True)])
def test_a_scan_that_may_have_been_performed_is_never_repeated(
    api: ScriptedScribe, clock: SteppedClock, answer: Answer
) -> None:
    api.script = lambda _, __: answer
    with ScribeClient(api.url, timeout=0.3 if answer.hang else 5, retry=patient(clock)) as client:
        with pytest.raises(Transient) as caught:
            client.perform_scan(ScanConfig(duration=0.1))
        with pytest.raises(Transient):
            client.add_feedback(1, "x", {})
    assert caught.value.applied == "unknown"
    assert (api.paths("/scan"), api.paths("/feedback"), clock.slept) == (["/scan"], ["/feedback"], [])


def test_reads_are_repeated_and_the_servers_delay_is_kept(api: ScriptedScribe, clock: SteppedClock) -> None:
    api.put(1)
    api.script = answering("/scans", Answer(500), Answer(429, headers={"Retry-After": "7"}), Answer(reset=True))
    with ScribeClient(api.url, retry=patient(clock, 4)) as client:
        assert client.scan_bytes(1) == api.scans[1]
    assert len(api.paths("/scans/1")) == 4
    assert clock.slept[1] == 7


def test_a_throttled_scan_was_not_performed_and_is_tried_again(api: ScriptedScribe, clock: SteppedClock) -> None:
    api.script = answering("/scan", Answer(429, headers={"Retry-After": "3"}))
    with ScribeClient(api.url, retry=patient(clock)) as client:
        assert client.perform_scan(ScanConfig())["scan_id"] == 1
    assert clock.slept == [3]


def test_the_breaker_rests_an_api_that_is_down_and_not_one_that_refuses(
    api: ScriptedScribe, clock: SteppedClock
) -> None:
    breaker = CircuitBreaker(3, 30, counts=speaks_against, clock=clock)
    with ScribeClient(api.url, retry=ONCE, breaker=breaker) as client:
        for _ in range(5):
            with pytest.raises(Rejected):
                client.get_scan_details(9)
        api.script = lambda _, __: Answer(429)
        for _ in range(5):
            with pytest.raises(Throttled):
                client.get_scan_details(9)
        api.script = lambda _, __: Answer(500)
        for _ in range(3):
            with pytest.raises(Transient, match="500"):
                client.get_scan_details(9)
        with pytest.raises(BreakerOpen, match=r"tried again in 30\.0 s"):
            client.get_scan_details(9)
        assert len(api.requests) == 13
        api.put(9)
        api.script = lambda _, __: None
        clock.pass_time(30)
        assert client.scan_bytes(9) == api.scans[9]


def test_the_key_is_shown_nowhere(api: ScriptedScribe) -> None:
    api.script = lambda _, __: Answer(403, b'{"detail":"key s3cr3t-k3y is unknown"}')
    with ScribeClient(api.url, "s3cr3t-k3y", retry=ONCE) as client:
        with pytest.raises(Misconfigured) as caught:
            client.get_scan_details(1)
        assert "s3cr3t" not in f"{caught.value} {client!r} {vars(client)}"
    with pytest.raises(ValueError, match="must be printable ASCII") as refused:
        ScribeClient(api.url, "s3cr3t\n")
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host", "http://"),
        ("localhost:8000", "http://"),
        ("http://user:pw@host", "user or password"),
        ("http://169.254.169.254", "metadata"),
        ("http://host/api?x=1", "query"),
    ],
)
def test_a_url_that_cannot_be_is_refused_at_once(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScribeClient(url)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"frequency": float("inf")}, "frequency must be a number, not inf"),
        ({"amplitude": "loud"}, "amplitude must be a number, not 'loud'"),
        ({"duration": 31.0}, "a scan of 31 s cannot end within the timeout of 30 s; raise timeout"),
        ({"duration": None}, "duration must be a number, not None"),
    ],
)
def test_a_scan_that_cannot_be_asked_for_is_refused_unsent(
    api: ScriptedScribe, config: dict[str, Any], words: str
) -> None:
    wanted = SimpleNamespace(**{**vars(TheirConfig()), **config})
    with ScribeClient(api.url) as client, pytest.raises(Rejected, match=words):
        client.perform_scan(wanted)
    assert api.requests == []


def test_ids_of_any_kind_stay_one_segment_of_the_path(api: ScriptedScribe) -> None:
    api.put("a/b", "..", "x?y#z", "é")
    with ScribeClient(api.url) as client:
        for scan_id, body in api.scans.items():
            assert client.scan_bytes(scan_id) == body


def test_a_wrong_root_is_the_operators_to_mend(api: ScriptedScribe) -> None:
    with (
        ScribeClient(api.url + "/api/v2", retry=ONCE) as client,
        pytest.raises(Misconfigured, match="is url the root of the SCRIBE API"),
    ):
        client.get_scan_history()


def test_proxies_of_the_environment_are_taken_only_on_demand(
    api: ScriptedScribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with ScribeClient(api.url) as client:
        assert client.health_check()
    with ScribeClient(api.url, trust_env=True) as client:
        assert not client.health_check()


def test_a_ca_file_that_is_missing_or_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"tls\.ca_file .*No such file"):
        ScribeClient("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem")
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(Misconfigured, match=r"tls\.ca_file"):
        ScribeClient("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem")


def test_a_private_authority_is_trusted_when_it_is_named_and_only_then(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        missing("openssl is missing")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=scribe -keyout {key} -out {certificate}"
    subprocess.run([*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    with ScriptedScribe(certificate=(certificate, key)) as api:
        api.put(1)
        with ScribeClient(api.url, ca_file=certificate) as client:
            assert client.scan_bytes(1) == api.scans[1]
        with (
            ScribeClient(api.url, retry=ONCE) as client,
            pytest.raises(Misconfigured, match=r"certificate not trusted .*set tls\.ca_file"),
        ):
            client.scan_bytes(1)


def test_closing_twice_is_safe(api: ScriptedScribe) -> None:
    with closing(ScribeClient(api.url)) as client:
        client.health_check()
        client.close()
