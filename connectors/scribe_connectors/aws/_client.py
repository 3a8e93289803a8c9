"""How a connector reaches AWS, or a service that speaks its protocols."""

import functools
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.loaders import Loader, create_loader
from botocore.session import Session
from pydantic import Field, model_validator

from scribe_connectors.aws._answers import take_whole_answers_only
from scribe_connectors.aws._errors import CREDENTIALS, code_of
from scribe_connectors.aws._rehearsal import Answer, Rehearsal
from scribe_export.model import Request
from scribe_export.options import Options, SecretText, Url

CONNECT_TIMEOUT = 10.0


class AssumeRoleOptions(Options):
    """A role taken on with the other credentials, and taken on again before its session ends."""

    arn: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")
    """The role."""
    external_id: str | None = None
    """What the role's trust policy asks for."""
    session_name: str = Field(default="scribe-export", pattern=r"^[\w+=,.@-]{2,64}$")
    """How the sessions are called in the account's records."""


class AwsAuthOptions(Options):
    """Left out: the SDK's own chain (environment, shared files, container and instance roles)."""

    profile: str | None = None
    """A profile of the shared configuration."""
    access_key_id: str | None = None
    """With `secret_access_key`: keys of a user."""
    secret_access_key: SecretText | None = None
    """Belongs to `access_key_id`."""
    session_token: SecretText | None = None
    """Of temporary keys."""
    assume_role: AssumeRoleOptions | None = None
    """A role to take on."""

    @model_validator(mode="after")
    def _check(self) -> "AwsAuthOptions":
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together; give both or neither")
        if self.profile and self.access_key_id:
            raise ValueError("give either a profile or an access key, not both")
        if self.session_token and not self.access_key_id:
            raise ValueError("session_token belongs to an access_key_id")
        return self


class TlsOptions(Options):
    ca_file: str | None = None
    """Certificates to trust, in PEM; the SDK's own if left out. Relative to the config's folder."""


class AwsOptions(Options):
    """Common to all of AWS; may stand under a connection with ``provider: aws``."""

    provider: ClassVar[str | None] = "aws"
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,32}$")
    """Such as eu-west-1; the SDK's own chain if left out."""
    endpoint_url: Url | None = None
    """Another service that speaks the protocol, or a private endpoint. Endpoints set in the environment do not count."""
    auth: AwsAuthOptions = AwsAuthOptions()
    """Who to be."""
    tls: TlsOptions = TlsOptions()
    """Whom to trust."""
    proxy: Url | None = None
    """An HTTP proxy for all calls."""


class AwsClient:
    """One service's client, made when it is first wanted and shared by all threads.

    After an error that speaks of the credentials it is made anew, with the credentials that are in place by then.
    https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    """

    def __init__(self, service: str, options: AwsOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self._service = service
        self._options = options
        self._folder = folder
        self.private = options.endpoint_url is not None and not _is_amazon(options.endpoint_url)
        """Whether this is not AWS itself, but something that speaks its protocols."""
        self._settings: dict[str, Any] = {
            "connect_timeout": min(timeout, CONNECT_TIMEOUT),
            "read_timeout": timeout,
            # The lane retries; a second layer below it would hide failures from its breaker.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": connections,
            "tcp_keepalive": True,
            "ignore_configured_endpoint_urls": True,
            "user_agent_extra": "scribe-export",
        }
        if options.proxy:
            self._settings["proxies"] = {"http": options.proxy, "https": options.proxy}
        if self.private:
            # Other implementations refuse the checksums that AWS takes since 2025:
            # https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html
            self._settings["request_checksum_calculation"] = "when_required"
            self._settings["response_checksum_validation"] = "when_required"
        self._special: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._client: Any = None
        self._rehearsal: Rehearsal | None = None

    def rehearse(self, answer: Callable[[Request], Answer]) -> Rehearsal:
        """From now on nothing is sent: requests are kept and answered by `answer`. Needs no credentials."""
        self._rehearsal = Rehearsal(answer)
        return self._rehearsal

    def configure(self, **settings: Any) -> None:
        """Settings of this service alone, by the names of `botocore.config.Config`; they win over the common ones."""
        self._special |= settings

    def get(self) -> Any:
        """The boto3 client; raises what the SDK raises if it cannot be made."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def failed(self, error: Exception) -> None:
        """Take note of an error of the client."""
        if code_of(error) in CREDENTIALS:
            with self._lock:
                self._client = None

    def close(self) -> None:
        """Close its connections; safe twice."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _make(self) -> Any:
        if self._rehearsal:
            return self._make_offline(self._rehearsal)
        auth = self._options.auth
        session = _session(auth.profile)
        if auth.access_key_id and auth.secret_access_key:
            token = auth.session_token.reveal() if auth.session_token else None
            session.set_credentials(auth.access_key_id, auth.secret_access_key.reveal(), token)
        if auth.assume_role:
            session = self._assume(session, auth.assume_role)
        if session.get_credentials() is None:
            raise NoCredentialsError
        config = Config(**(self._settings | self._special))
        client = session.create_client(self._service, config=config, **self._where(session, private=True))
        take_whole_answers_only(client)
        return client

    def _make_offline(self, rehearsal: Rehearsal) -> Any:
        session = _session()
        rehearsal.prepare(session)
        config = Config(**(self._settings | self._special))
        client = session.create_client(self._service, config=config, **self._where(session, private=True))
        rehearsal.attach(client)
        return client

    def _where(self, session: Session, *, private: bool) -> dict[str, Any]:
        region = self._options.region or session.get_config_variable("region")
        return {
            "region_name": region or ("us-east-1" if self.private else None),
            "endpoint_url": self._options.endpoint_url if private else None,
            "verify": str(self._folder / self._options.tls.ca_file) if self._options.tls.ca_file else None,
        }

    def _assume(self, source: Session, role: AssumeRoleOptions) -> Session:
        credentials = source.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        # A private endpoint within AWS serves one service; other implementations serve all behind one address.
        where = self._where(source, private=self.private)
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=partial(source.create_client, config=Config(**self._settings), **where),
            source_credentials=credentials,
            role_arn=role.arn,
            extra_args={"RoleSessionName": role.session_name}
            | ({"ExternalId": role.external_id} if role.external_id else {}),
        )
        session = _session(self._options.auth.profile)
        session.get_component("credential_provider").insert_before("env", _AssumedRole(fetcher))
        return session


def _session(profile: str | None = None) -> Session:
    session = Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@functools.cache
def _loader(data_path: str | None) -> Loader:
    """The descriptions of AWS's services, read once: each session would otherwise spend 0.3 s of CPU on them."""
    return create_loader(data_path)


class _AssumedRole(CredentialProvider):
    METHOD = CANONICAL_NAME = "scribe-assumed-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> Any:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def _is_amazon(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
