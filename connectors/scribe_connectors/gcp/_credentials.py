"""Who the calls are made as, from a file, the application default credentials, or another's word."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth
from google.auth import aws, identity_pool, impersonated_credentials, pluggable
from google.auth.credentials import Credentials, CredentialsWithQuotaProject
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import Request

from scribe_export.errors import Misconfigured

_AWS_TOKEN = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105 - the name of a kind of token
_CLOUD = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Identity:
    """Credentials and the project that they or the environment name."""

    credentials: Credentials
    project: str | None


def identify(
    *, file: Path | None, impersonate: str | None, scopes: Sequence[str], quota_project: str | None, tokens: Request
) -> Identity:
    """Load credentials; no token is fetched yet. Raises `Misconfigured`, or google.auth's TransportError.

    https://cloud.google.com/docs/authentication/application-default-credentials
    https://cloud.google.com/iam/docs/workload-identity-federation
    """
    # What is impersonated has the scopes; who asks for it needs the right to ask.
    wanted = [_CLOUD] if impersonate else list(scopes)
    credentials, project = _from_file(file, wanted, tokens) if file else _default(wanted, tokens)
    if impersonate:
        # https://cloud.google.com/iam/docs/service-account-impersonation
        credentials = impersonated_credentials.Credentials(
            source_credentials=credentials, target_principal=impersonate, target_scopes=list(scopes)
        )
    if quota_project and isinstance(credentials, CredentialsWithQuotaProject):
        credentials = credentials.with_quota_project(quota_project)
    return Identity(credentials, project)


def _default(scopes: Sequence[str], tokens: Request) -> tuple[Credentials, str | None]:
    try:
        found: tuple[Credentials, str | None] = google.auth.default(scopes=scopes, request=tokens)
    except DefaultCredentialsError as error:
        raise Misconfigured(
            f"no Google credentials: {error} Set auth.credentials_file, or GOOGLE_APPLICATION_CREDENTIALS, or run "
            "`gcloud auth application-default login`"
        ) from error
    return found


def _from_file(file: Path, scopes: Sequence[str], tokens: Request) -> tuple[Credentials, str | None]:
    try:
        federated = _federated(file, scopes)
        if federated:
            return federated, None
        with warnings.catch_warnings():
            # It warns of files that come from strangers; this one the operator names.
            warnings.simplefilter("ignore", DeprecationWarning)
            found: tuple[Credentials, str | None] = google.auth.load_credentials_from_file(
                str(file), scopes=scopes, request=tokens
            )
    except (DefaultCredentialsError, OSError, ValueError) as error:
        raise Misconfigured(f"auth.credentials_file: {error}") from error
    return found


def _federated(file: Path, scopes: Sequence[str]) -> Credentials | None:
    """Credentials of workload identity federation; google.auth's loader would look up its project over the network."""
    info: Any = json.loads(file.read_bytes()) if file.is_file() else None
    if not isinstance(info, dict) or info.get("type") != "external_account":
        return None
    kind: Any = identity_pool
    if info.get("subject_token_type") == _AWS_TOKEN:
        kind = aws
    elif "executable" in (info.get("credential_source") or {}):
        kind = pluggable
    made: Credentials = kind.Credentials.from_info(info, scopes=scopes)
    return made
