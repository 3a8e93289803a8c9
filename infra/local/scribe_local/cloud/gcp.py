"""What the clients of the local Google Cloud have in common."""

from typing import Any

from google.auth.credentials import AnonymousCredentials

PROJECT = "scribe-lab"


def anonymous() -> Any:
    """The servers here ask nobody who they are."""
    return AnonymousCredentials()
