"""What the Lambda sink and scanner have in common."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import Field, model_validator

from scribe_connectors.aws._client import AwsClient, AwsOptions
from scribe_connectors.aws._errors import classify, code_of
from scribe_export.errors import Misconfigured, SinkError, Throttled

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (seen 2026-11-24)
MAX_RUNTIME = 900.0  # seconds
MAX_SYNC_BYTES = 6 * 2**20
MAX_ASYNC_BYTES = 2**20
PATIENCE = MAX_RUNTIME + 10
"""A client that gives up before its function does would have it run again beside itself."""
FUNCTION_ERROR = "function_error"
"""The class of failures of the function's own, which come with a status of 200."""
_SHOWN = 300


class FunctionOptions(AwsOptions):
    """Which function. An ARN says the region."""

    function: str = Field(
        max_length=256,
        pattern=r"^(arn:aws[a-zA-Z-]*:lambda:)?([a-z]{2}(-[a-z]+)+-\d:)?(\d{12}:)?(function:)?[a-zA-Z0-9_-]{1,64}$",
    )
    """The function's name, or its ARN without a version."""
    qualifier: str | None = Field(default=None, pattern=r"^(\$LATEST|[a-zA-Z0-9_-]{1,128})$")
    """A version or an alias; what was deployed last if left out."""

    @model_validator(mode="before")
    @classmethod
    def _follow_arn(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("function"), str):
            return values
        parts = values["function"].split(":")
        if parts[0] != "arn" or len(parts) < 7 or values.get("region") is not None:
            return values
        return {**values, "region": parts[3]}


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came back. `failed`: the function ran and raised, or was stopped; `payload` then says of what it died."""

    payload: bytes
    failed: bool = False

    def error_type(self) -> str:
        """The name of what the function raised, such as ``ValueError``; empty if it does not say."""
        return self._reason()[0]

    def __str__(self) -> str:
        kind, message = self._reason()
        return f"{kind or 'the function failed'}: {message:.{_SHOWN}}"

    def _reason(self) -> tuple[str, str]:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            found = msgspec.json.decode(self.payload)
            if isinstance(found, dict):
                return str(found.get("errorType", "")), str(found.get("errorMessage", ""))
        return "", self.payload[:_SHOWN].decode("utf-8", "replace")


class Function:
    """A function and the client that reaches it. Never invokes twice by itself."""

    def __init__(self, options: FunctionOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self._options, self._timeout = options, timeout
        self._named: dict[str, Any] = {"FunctionName": options.function}
        if options.qualifier:
            self._named["Qualifier"] = options.qualifier
        self.client = AwsClient("lambda", options, folder=folder, timeout=timeout, connections=connections)
        self.client.configure(parameter_validation=False)

    @property
    def _lambda(self) -> "LambdaClient":
        client: LambdaClient = self.client.get()
        return client

    def invoke(
        self,
        payload: bytes,
        kind: Literal["RequestResponse", "Event"] = "RequestResponse",
        settings: Mapping[str, str] | None = None,
    ) -> Invocation:
        """One invocation; `settings` are further parameters of the call. Raises what the SDK raises."""
        more: Any = settings or {}
        answer = self._lambda.invoke(**self._named, InvocationType=kind, Payload=payload, **more)
        with answer["Payload"] as stream:
            body = stream.read()
        return Invocation(body, failed=bool(answer.get("FunctionError")))

    def open(self, *, waits: bool, durable: bool) -> None:
        """Find a missing function or right early, running nothing; `waits` for its end, by this time at the latest."""
        try:
            self._lambda.invoke(**self._named, InvocationType="DryRun")["Payload"].close()
        except Exception as error:
            known = self.classify(error)
            if not isinstance(known, Throttled):
                raise (known or error) from error
        self._compare(waits=waits, durable=durable)

    def _compare(self, *, waits: bool, durable: bool) -> None:
        """Whoever may invoke a function need not have the right to look at it: then the options are believed."""
        try:
            found: Any = self._lambda.get_function_configuration(**self._named)
        except Exception as error:
            if self.classify(error) is None:
                raise
            return
        config = found.get("DurableConfig")
        if durable and not config:
            raise Misconfigured(
                f"{self._options.function} is no durable function, and would run again at each repeat; create it with a "
                "DurableConfig, or leave `durable` out"
            )
        longest = float(found.get("Timeout", 0))
        if config:
            longest = max(longest, min(MAX_RUNTIME, float(config.get("ExecutionTimeout", MAX_RUNTIME))))
        if waits and self._timeout <= longest:
            raise Misconfigured(
                f"timeout of {self._timeout:g} s is not above the {longest:g} s that {self._options.function} may run: a "
                f"slow invocation would be repeated while it still runs; set it to {longest + 10:g}s"
            )

    def classify(self, error: Exception) -> SinkError | None:
        """In the framework's terms; the client is made anew where that may help."""
        self.client.failed(error)
        if code_of(error) == "InvalidParameterValueException":
            # Of a request without a body of its own to be wrong: an unqualified durable function, say.
            return Misconfigured(str(error))
        return classify(error)
