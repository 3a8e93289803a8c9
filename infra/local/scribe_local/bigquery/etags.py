"""The etags of resources, and the preconditions on them."""

import base64
import hashlib

import msgspec

from scribe_local.bigquery.refusals import Refused
from scribe_local.bigquery.store import Document


def tagged(resource: Document) -> Document:
    """The resource with an etag that follows from all of it."""
    digest = hashlib.sha256(msgspec.json.encode(resource, order="sorted")).digest()
    return {**resource, "etag": base64.b64encode(digest[:16]).decode()}


def check_match(resource: Document, match: str | None) -> None:
    """Raises `Refused` if `match`, an If-Match header, names another version."""
    if match not in (None, "*", resource["etag"]):
        raise Refused(412, "conditionNotMet", "Precondition Failed", location="If-Match")
