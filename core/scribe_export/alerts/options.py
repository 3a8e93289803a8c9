"""What a user may write under `alerts`."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from scribe_export.options import Duration, Options, Secret, SecretText, check_url

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_SET_BY_US = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "host"})


def _address(secret: Secret) -> Secret:
    text = secret.reveal()
    if not _fit(text) or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    check_url(text)
    return secret


def _fit(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


class AlertTlsOptions(Options):
    ca_file: Path | None = Field(default=None, strict=False)
    """PEM file with the authorities to trust instead of the public ones; relative to the config's folder."""


class WebhookOptions(Options):
    url: Annotated[SecretText, AfterValidator(_address)]
    """Where every alert is sent, by POST, as JSON. It is kept secret, because such URLs often hold a token."""
    headers: dict[str, SecretText] = Field(default_factory=dict)
    """Sent with every alert, such as Authorization."""
    timeout: Duration = Field(default=10.0, gt=0)
    """Seconds within which an alert has to be answered, or it is sent again."""
    tls: AlertTlsOptions = AlertTlsOptions()
    """Whom to trust."""
    trust_env: bool = False
    """Whether a proxy is taken from the environment (HTTPS_PROXY, NO_PROXY)."""

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        for name, secret in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _SET_BY_US:
                raise ValueError(f"{name} is set by scribe-export itself; leave it out")
            if not _fit(secret.reveal()):
                raise ValueError(f"{name} must be printable ASCII without a line end or spaces around it")
        return value


class AlertOptions(Options):
    webhook: WebhookOptions | None = None
    """Where alerts go beside the log."""
    every: Duration = Field(default=30.0, ge=0.1)
    """How long to wait between two looks at the pipeline."""
    held_for: Duration = Field(default=60.0, ge=0)
    """How long a destination or a source has to be held before that is told; a flap is over sooner."""
    backlog_age: Duration = Field(default=900.0, gt=0)
    """How long a scan may wait for a destination, beyond the max_age of its batches, before that is told."""
    quiet: Duration = Field(default=900.0, ge=0)
    """How long no dead letter or gap may have been added before the next one is told again."""
