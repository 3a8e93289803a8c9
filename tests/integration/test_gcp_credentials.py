"""Who the calls are made as: real credentials of each kind, over a token service and a bucket of our own."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import identity_pool, impersonated_credentials
from google.oauth2 import service_account
from support.front import Answer, Front, Received
from support.gcs import answer, new_bucket, versions
from support.loop import in_loop
from support.records import record, write

from scribe_connectors.gcp._client import GcpOptions, RestClient
from scribe_connectors.gcp.storage import GcsSink, GcsSinkOptions
from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Context
from scribe_local.servers import LocalServer

EMAIL = "writer@lab.iam.gserviceaccount.com"


@dataclass
class Google:
    """Gives tokens out, and lets those pass to the bucket that hold the last one given."""

    front: Front
    folder: Path
    tokens: int = 0
    accepted: str = ""
    asked: list[Mapping[str, list[str]]] = field(default_factory=list)
    refusal: Answer | None = None

    def say(self, came: Received) -> Answer | None:
        if came.path == "/token":
            self.asked.append(parse_qs(came.body.decode()))
            if self.refusal:
                return self.refusal
            self.tokens += 1
            self.accepted = f"token-{self.tokens}"
            kind = "urn:ietf:params:oauth:token-type:access_token"
            said = {
                "access_token": self.accepted,
                "expires_in": 3600,
                "token_type": "Bearer",
                "issued_token_type": kind,
            }
            return Answer(200, json.dumps(said).encode())
        if came.headers.get("authorization") != f"Bearer {self.accepted}":
            return answer(401, "authError")
        return None

    def key_file(self, **more: Any) -> str:
        """A service account's key, whose tokens come from here; its path relative to the config's folder."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {
            "type": "service_account",
            "project_id": "lab-project",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": EMAIL,
            "token_uri": f"{self.front.url}/token",
            **more,
        }
        (self.folder / "key.json").write_text(json.dumps(account))
        return "key.json"

    def federation_file(self) -> str:
        """Workload identity federation with a token of another provider in a file."""
        (self.folder / "subject").write_text("a token of the other provider")
        pool = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.front.url}/token",
            "credential_source": {"file": str(self.folder / "subject")},
        }
        (self.folder / "wif.json").write_text(json.dumps(pool))
        return "wif.json"


@pytest.fixture
def google(fake_gcs: LocalServer, tmp_path: Path) -> Iterator[Google]:
    with Front(fake_gcs.port, unavailable=answer(503, "backendError"), denied=answer(403, "forbidden")) as front:
        found = Google(front, tmp_path)
        with front.scripted(found.say):
            yield found


@pytest.fixture
def bucket(gcs: Any) -> str:
    return new_bucket(gcs, versioned=True)


def sink(google: Google, bucket: str, **options: Any) -> GcsSink:
    given = {"bucket": bucket, "key": "s/{scan_id}.json", "endpoint_url": google.front.url, **options}
    return GcsSink(GcsSinkOptions.model_validate(given), Context("archive", folder=google.folder))


@in_loop
async def test_a_service_account_gets_one_token_for_all_calls(google: Google, gcs: Any, bucket: str) -> None:
    archive = sink(google, bucket, auth={"credentials_file": google.key_file()})
    await archive.open()
    assert await write(archive, [record(n) for n in range(1, 6)]) == "5 created"
    await archive.close()
    assert google.tokens == 1
    assert len(versions(gcs, bucket)) == 5


@in_loop
async def test_a_token_that_is_no_longer_taken_is_fetched_anew(google: Google, gcs: Any, bucket: str) -> None:
    archive = sink(google, bucket, auth={"credentials_file": google.key_file()})
    await write(archive, [record(1)])
    google.accepted = "revoked"
    assert await write(archive, [record(2)]) == "1 created"
    await archive.close()
    assert google.tokens == 2
    assert len(versions(gcs, bucket)) == 2


@in_loop
async def test_expired_credentials_hold_and_those_in_their_place_are_taken_up(
    google: Google, gcs: Any, bucket: str
) -> None:
    archive = sink(google, bucket, auth={"credentials_file": google.key_file()})
    await write(archive, [record(1)])
    google.accepted = "revoked"
    google.refusal = Answer(400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}')
    for _ in range(2):
        with pytest.raises(Misconfigured, match="credentials"):
            await write(archive, [record(2)])
    google.refusal = None
    google.key_file(client_email="other@lab.iam.gserviceaccount.com")
    assert await write(archive, [record(2)]) == "1 created"
    await archive.close()
    assert len(versions(gcs, bucket)) == 2


@in_loop
async def test_a_token_service_that_is_down_surely_wrote_nothing(google: Google, bucket: str) -> None:
    archive = sink(google, bucket, auth={"credentials_file": google.key_file(token_uri="http://127.0.0.1:1/token")})
    with pytest.raises(Transient, match="no access token") as caught:
        await write(archive, [record(1)])
    assert caught.value.applied == "no"
    await archive.close()


@in_loop
async def test_workload_identity_federation_exchanges_the_other_token(google: Google, gcs: Any, bucket: str) -> None:
    archive = sink(google, bucket, project="lab", auth={"credentials_file": google.federation_file()})
    assert await write(archive, [record(1)]) == "1 created"
    await archive.close()
    [asked] = google.asked
    assert asked["subject_token"] == ["a token of the other provider"]
    assert asked["scope"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert len(versions(gcs, bucket)) == 1


@in_loop
async def test_wrong_credentials_are_for_the_operator_and_never_shown(google: Google, bucket: str) -> None:
    google.key_file()
    google.refusal = Answer(401, b'{"error":"invalid_client"}')
    archive = sink(google, bucket, auth={"credentials_file": "key.json"})
    key = json.loads((google.folder / "key.json").read_text())["private_key"]
    with pytest.raises(Misconfigured) as caught:
        await write(archive, [record(1)])
    assert key.splitlines()[1] not in str(caught.value) + repr(archive.options)
    await archive.close()


def test_who_is_impersonated_and_the_quota_project_are_as_the_options_say(google: Google) -> None:
    auth = {
        "credentials_file": google.key_file(),
        "impersonate": "w@lab.iam.gserviceaccount.com",
        "scopes": ["https://www.googleapis.com/auth/devstorage.read_write"],
        "quota_project": "bills",
    }
    rest = parts(google, auth=auth)
    assert isinstance(rest.credentials, impersonated_credentials.Credentials)
    assert rest.credentials.service_account_email == "w@lab.iam.gserviceaccount.com"
    assert rest.credentials.quota_project_id == "bills"
    assert isinstance(rest.credentials._source_credentials, service_account.Credentials)
    assert rest.credentials._target_scopes == ["https://www.googleapis.com/auth/devstorage.read_write"]
    assert rest.project == "lab-project"
    assert isinstance(
        parts(google, auth={"credentials_file": google.federation_file()}).credentials, identity_pool.Credentials
    )


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "not found"),
        ("{", "Expecting property name"),
        ('{"type": "unheard"}', "does not have a valid type"),
        ('{"type": "service_account"}', "missing fields"),
    ],
)
def test_a_credentials_file_that_is_none_is_named(google: Google, content: str | None, complaint: str) -> None:
    if content is not None:
        (google.folder / "wrong.json").write_text(content)
    with pytest.raises(Misconfigured, match=rf"auth\.credentials_file: .*{complaint}"):
        parts(google, auth={"credentials_file": "wrong.json"})


@in_loop
async def test_without_any_credentials_it_says_what_to_do(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "CLOUDSDK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    options = GcsSinkOptions.model_validate({"bucket": bucket, "key": "s/{scan_id}.json"})
    archive = GcsSink(options, Context("archive"))
    with pytest.raises(Misconfigured, match="gcloud auth application-default login"):
        await archive.open()
    await archive.close()


def test_the_default_credentials_are_those_of_the_environment(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.folder / google.key_file()))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    client = RestClient(
        "https://storage.googleapis.com",
        GcpOptions(),
        lambda rest: rest,
        folder=google.folder,
        timeout=5.0,
        connections=1,
    )
    rest = client.get()
    assert isinstance(rest.credentials, service_account.Credentials)
    assert (rest.project, rest.endpoint) == ("lab-project", "https://storage.googleapis.com")
    client.close()


@pytest.mark.parametrize(
    ("url", "private"),
    [
        (None, False),
        ("https://storage-lab.p.googleapis.com", False),
        ("https://googleapis.com.example.org", True),
        ("https://notgoogleapis.com", True),
    ],
)
def test_credentials_are_not_sent_unasked_to_a_server_that_is_not_googles(url: str | None, private: bool) -> None:
    assert GcpOptions(endpoint_url=url).anonymous is private
    assert not GcpOptions.model_validate({"endpoint_url": url, "auth": {"quota_project": "bills"}}).anonymous


def test_certificates_that_are_not_there_are_named(google: Google) -> None:
    with pytest.raises(Misconfigured, match=r"tls\.ca_file: there is no file"):
        parts(google, tls={"ca_file": "ca.pem"})


def parts(google: Google, **options: Any) -> Any:
    given = GcpOptions.model_validate({"endpoint_url": google.front.url, **options})
    client = RestClient(
        "https://storage.googleapis.com", given, lambda rest: rest, folder=google.folder, timeout=5.0, connections=1
    )
    return client.get()
