"""How a connector reaches Google Cloud, or a service that speaks its protocols."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import AuthorizedSession
from google.auth.transport.requests import Request as TokenRequest
from pydantic import Field
from requests import Session
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from scribe_connectors.gcp._credentials import Identity, identify
from scribe_connectors.gcp._errors import speaks_of_credentials
from scribe_connectors.gcp._rehearsal import Answer, Rehearsal
from scribe_export.errors import Misconfigured
from scribe_export.model import Request
from scribe_export.options import Options, Url
from scribe_export.whole_answers import whole_answers

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0


class GcpAuthOptions(Options):
    """Left out: application default credentials (environment, gcloud, metadata server), or none at another service."""

    credentials_file: str | None = None
    """A service account's key, an authorized user or workload identity federation. Relative to the config's folder."""
    impersonate: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    """A service account's email: who to be, on the strength of the other credentials."""
    scopes: tuple[str, ...] = Field(default=("https://www.googleapis.com/auth/cloud-platform",), strict=False)
    """What the access tokens are good for."""
    quota_project: str | None = None
    """The project that quotas and bills count for, where it is not the credentials' own."""


class TlsOptions(Options):
    ca_file: str | None = None
    """Certificates to trust, in PEM; the SDK's own if left out. Relative to the config's folder."""


class GcpOptions(Options):
    """Common to all of Google Cloud; may stand under a connection with ``provider: gcp``."""

    provider: ClassVar[str | None] = "gcp"
    project: str | None = Field(default=None, pattern=r"^[a-z0-9.:-]{1,63}$")
    """The project's id; that of the credentials or the environment if left out."""
    endpoint_url: Url | None = None
    """Another service that speaks the protocol, or a private endpoint. Emulators set in the environment do not count."""
    auth: GcpAuthOptions = GcpAuthOptions()
    """Who to be."""
    tls: TlsOptions = TlsOptions()
    """Whom to trust."""
    proxy: Url | None = None
    """An HTTP proxy for all calls; those of the environment if left out."""

    @property
    def private(self) -> bool:
        """Whether the endpoint is not Google's, but something that speaks its protocols."""
        host = urlsplit(self.endpoint_url or "").hostname or "googleapis.com"
        return not f".{host}".endswith(".googleapis.com")

    @property
    def anonymous(self) -> bool:
        """Whether calls go without credentials: at another service, unless `auth` says something."""
        return self.private and not self.auth.model_fields_set


class Shared(Generic[T]):
    """One client, made when it is first wanted and shared by all threads.

    After an error that speaks of the credentials it is made anew, with the credentials that are in place by then.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], None],
        about_credentials: Callable[[Exception], bool] = speaks_of_credentials,
    ) -> None:
        self._make, self._close, self._about_credentials = make, close, about_credentials
        self._lock = threading.Lock()
        self._client: T | None = None

    def get(self) -> T:
        """The client; raises what google.auth raises if it cannot be made, or `Misconfigured`."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def failed(self, error: Exception) -> None:
        """Take note of an error of the client. Others may still use the old one, so it is not closed."""
        if self._about_credentials(error):
            with self._lock:
                self._client = None

    def close(self) -> None:
        """Close its connections; safe twice."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            self._close(client)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a client of a REST API is made of.

    `endpoint` is without a trailing slash. `timeout` is for every call: (connect, read) in seconds.
    A client of google-cloud-* takes ``credentials=rest.credentials``, ``_http=rest.session`` and
    ``client_options={"api_endpoint": rest.endpoint}``, with its own retries turned off.
    """

    session: AuthorizedSession
    credentials: Credentials
    project: str | None
    endpoint: str
    timeout: tuple[float, float]

    def need_project(self) -> str:
        """The project; raises `Misconfigured` if nobody names one."""
        return needed_project(self.project)


class RestClient(Generic[T]):
    """A client of one REST API, which `make` makes of its parts; use it as `Shared`."""

    def __init__(
        self,
        endpoint: str,
        options: GcpOptions,
        make: Callable[[Rest], T],
        *,
        folder: Path,
        timeout: float,
        connections: int,
        about_credentials: Callable[[Exception], bool] = speaks_of_credentials,
    ) -> None:
        """`endpoint` is Google's own, such as ``https://storage.googleapis.com``."""
        self._endpoint = options.endpoint_url or endpoint
        self._options, self._folder = options, folder
        self._timeout = (min(timeout, CONNECT_TIMEOUT), timeout)
        self._connections = connections
        self._rehearsal: Rehearsal | None = None
        self._rest: Rest | None = None
        self._shared = Shared(lambda: make(self._parts()), lambda _: self._close(), about_credentials)
        self.get, self.failed, self.close = self._shared.get, self._shared.failed, self._shared.close

    def rehearse(self, answer: Callable[[Request], Answer]) -> Rehearsal:
        """From now on nothing is sent: requests are kept and answered by `answer`. Needs no credentials."""
        self._rehearsal = Rehearsal(answer)
        return self._rehearsal

    def _parts(self) -> Rest:
        if self._rehearsal:
            identity = Identity(AnonymousCredentials(), self._options.project or environment_project())
            session = AuthorizedSession(identity.credentials, auth_request=_no_tokens)
            session.mount("https://", self._rehearsal)
            session.mount("http://", self._rehearsal)
        else:
            tokens = token_request(self._options, self._folder)
            identity = identity_of(self._options, self._folder, tokens)
            # Without credentials there is nothing to refresh after a 401.
            codes = {"refresh_status_codes": ()} if self._options.anonymous else {}
            session = AuthorizedSession(identity.credentials, auth_request=tokens, **codes)
            _furnish(session, self._endpoint, self._options, self._folder, self._connections)
        self._rest = Rest(session, identity.credentials, identity.project, self._endpoint, self._timeout)
        return self._rest

    def _close(self) -> None:
        if self._rest:
            self._rest.session.close()


def identity_of(options: GcpOptions, folder: Path, tokens: TokenRequest) -> Identity:
    """Credentials and project, by the options; raises google.auth's errors or `Misconfigured`."""
    if options.anonymous:
        return Identity(AnonymousCredentials(), options.project or environment_project())
    auth = options.auth
    found = identify(
        file=folder / auth.credentials_file if auth.credentials_file else None,
        impersonate=auth.impersonate,
        scopes=auth.scopes,
        quota_project=auth.quota_project,
        tokens=tokens,
    )
    return Identity(found.credentials, options.project or found.project or environment_project())


def token_request(options: GcpOptions, folder: Path) -> TokenRequest:
    """What fetches access tokens, by the same proxy and trust as the calls themselves."""
    session = Session()
    # Google's token service is never behind an `endpoint_url`.
    _furnish(session, "https://oauth2.googleapis.com", options, folder, connections=2)
    return TokenRequest(session)


def environment_project() -> str | None:
    """The project that the environment names."""
    return os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT")


def needed_project(project: str | None) -> str:
    """The project; raises `Misconfigured` if there is none."""
    if not project:
        raise Misconfigured("no project: neither the credentials nor the environment name one; set `project`")
    return project


def ca_path(options: GcpOptions, folder: Path) -> Path | None:
    """The file of certificates to trust; raises `Misconfigured` if it is not there."""
    if not options.tls.ca_file:
        return None
    path = folder / options.tls.ca_file
    if not path.is_file():
        raise Misconfigured(f"tls.ca_file: there is no file {path}")
    return path


def _furnish(session: Session, url: str, options: GcpOptions, folder: Path, connections: int) -> None:
    # The environment is looked at once: to look at every request costs a fifth of it, and .netrc must not take the
    # credentials' place.
    session.trust_env = False
    session.headers["User-Agent"] = "scribe-export"
    proxy = options.proxy
    session.proxies = {"http": proxy, "https": proxy} if proxy else dict(get_environ_proxies(url, no_proxy=None))
    trusted = ca_path(options, folder) or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if trusted:
        session.verify = str(trusted)
    # The lane retries; a second layer below it would hide failures from its breaker.
    adapter = _WholeAnswers(pool_connections=4, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)


class _WholeAnswers(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = whole_answers(self.poolmanager.pool_classes_by_scheme)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = whole_answers(manager.pool_classes_by_scheme)
        return manager


def _no_tokens(*_: Any, **__: Any) -> Any:
    raise Misconfigured("no access tokens are fetched offline")
