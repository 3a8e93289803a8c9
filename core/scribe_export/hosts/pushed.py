"""Who may push: the token that Pub/Sub sends along, if the environment says what it must hold."""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

AUDIENCE = "SCRIBE_EXPORT_PUSH_AUDIENCE"
"""The audience of the subscription's token: its push endpoint's URL unless it names another."""
ACCOUNT = "SCRIBE_EXPORT_PUSH_ACCOUNT"
"""The e-mail of the service account that pushes; any with the audience if not set."""


class Refused(Exception):
    """A request that is answered with `status` and not looked at further."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def check_token(authorization: str, environ: Mapping[str, str]) -> None:
    """Raise `Refused` unless the header holds what the environment asks for; it need not ask for anything.

    https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
    """
    audience = environ.get(AUDIENCE)
    if not audience:
        if environ.get(ACCOUNT):
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, f"{ACCOUNT} is set and {AUDIENCE} is not; set both")
        return
    kind, _, token = authorization.partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused(HTTPStatus.UNAUTHORIZED, "no bearer token; give the subscription a service account to push as")
    claims = _claims(token, audience)
    account = environ.get(ACCOUNT)
    if account and not (claims.get("email_verified") and hmac.compare_digest(str(claims.get("email", "")), account)):
        raise Refused(HTTPStatus.FORBIDDEN, "the token is another account's")


def _claims(token: str, audience: str) -> Mapping[str, Any]:
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        claims: Mapping[str, Any] = id_token.verify_oauth2_token(token, Request(), audience)
    except TransportError as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, f"Google's certificates cannot be fetched: {error}") from None
    except (ValueError, GoogleAuthError) as error:
        raise Refused(HTTPStatus.FORBIDDEN, f"the token is not good: {error}") from None
    return claims
