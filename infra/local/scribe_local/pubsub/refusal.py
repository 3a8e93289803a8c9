"""What the service answers instead of doing something."""

from collections.abc import Mapping

import grpc


class Refusal(Exception):
    """A gRPC status; `failures` says of acknowledgement ids what is wrong with them."""

    def __init__(self, code: grpc.StatusCode, message: str, failures: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.failures = code, message, failures or {}


def invalid(message: str) -> Refusal:
    """The request can never be done."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> Refusal:
    """There is no such topic or subscription."""
    return Refusal(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]}).")


def already_exists(name: str) -> Refusal:
    """A topic's or subscription's name is taken."""
    return Refusal(
        grpc.StatusCode.ALREADY_EXISTS,
        f"Resource already exists in the project (resource={name.rpartition('/')[2]}).",
    )
