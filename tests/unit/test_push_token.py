"""The token that Pub/Sub sends along with a push, checked against certificates from a server."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt
from google.oauth2 import id_token

from scribe_export.hosts.pushed import ACCOUNT, AUDIENCE, Refused, check_token

HERE = "https://export.example.org/push"
PUSHER = "pusher@lab.iam.gserviceaccount.com"
Signed = Callable[..., str]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def certificates(key: rsa.RSAPrivateKey) -> Iterator[str]:
    """The URL of what Google would serve."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    served = json.dumps({"one": made.public_bytes(Encoding.PEM).decode()}).encode()

    class Certificates(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/certs" else 503)
            self.send_header("Content-Length", str(len(served)))
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Certificates) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def signed(key: rsa.RSAPrivateKey, certificates: str, monkeypatch: pytest.MonkeyPatch) -> Signed:
    """Makes the header of a push."""
    monkeypatch.setattr(id_token, "_GOOGLE_OAUTH2_CERTS_URL", f"{certificates}/certs")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signer = crypt.RSASigner.from_string(pem, key_id="one")

    def sign(**more: Any) -> str:
        now = int(dt.datetime.now(dt.UTC).timestamp())
        claims = {
            "iss": "https://accounts.google.com",
            "aud": HERE,
            "email": PUSHER,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
        return f"Bearer {jwt.encode(signer, {**claims, **more}).decode()}"

    return sign


def refusal(header: str, environ: Mapping[str, str]) -> int:
    with pytest.raises(Refused) as caught:
        check_token(header, environ)
    return caught.value.status


def test_a_token_that_is_good_is_taken(signed: Signed) -> None:
    check_token(signed(), {AUDIENCE: HERE})
    check_token(signed(), {AUDIENCE: HERE, ACCOUNT: PUSHER})


def test_nothing_is_asked_for_unless_the_environment_does() -> None:
    check_token("", {})


@pytest.mark.parametrize(
    "more",
    [
        {"aud": "https://elsewhere.example.org"},
        {"iss": "https://elsewhere.example.org"},
        {"exp": 1_700_000_000, "iat": 1_699_990_000},
        {"email": "somebody@lab.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"email": None},
    ],
)
def test_any_other_token_is_refused(signed: Signed, more: dict[str, Any]) -> None:
    assert refusal(signed(**more), {AUDIENCE: HERE, ACCOUNT: PUSHER}) == 403


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw"])
def test_a_push_without_a_token_is_refused(header: str) -> None:
    assert refusal(header, {AUDIENCE: HERE}) == 401


def test_a_forged_token_is_refused(signed: Signed) -> None:
    start, _, _ = signed().rpartition(".")
    assert refusal(f"{start}.AAAA", {AUDIENCE: HERE}) == 403
    assert refusal("Bearer nonsense", {AUDIENCE: HERE}) == 403


def test_certificates_that_cannot_be_had_are_no_refusal_for_good(
    signed: Signed, certificates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_token, "_GOOGLE_OAUTH2_CERTS_URL", f"{certificates}/away")
    assert refusal(signed(), {AUDIENCE: HERE}) == 503


def test_an_account_without_an_audience_is_not_taken_for_a_check() -> None:
    with pytest.raises(Refused, match="set both") as refused:
        check_token("", {ACCOUNT: PUSHER})
    assert refused.value.status == HTTPStatus.INTERNAL_SERVER_ERROR
