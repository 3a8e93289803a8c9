"""Scans acted on by a function in Lambda."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import msgspec
from anyio import to_thread
from pydantic import Field, model_validator

from scribe_connectors.aws._durable import ALREADY_STARTED, execution_name, of_content
from scribe_connectors.aws._errors import code_of
from scribe_connectors.aws._function import (
    FUNCTION_ERROR,
    MAX_ASYNC_BYTES,
    MAX_SYNC_BYTES,
    PATIENCE,
    Function,
    FunctionOptions,
    Invocation,
)
from scribe_connectors.aws._rehearsal import Answer
from scribe_connectors.aws.lambda_scanner import LambdaScanner, LambdaScannerOptions
from scribe_export.errors import Conflict, InvalidScan, Rejected, SinkError, Transient
from scribe_export.fields import Selection
from scribe_export.interface import Context, Sink
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import Duration, FieldsOptions, Options, SinkOptions, Size
from scribe_export.parts import Limits, Part, Requests, divided
from scribe_export.text_template import Text, TextTemplate

__all__ = ["LambdaScanner", "LambdaScannerOptions", "LambdaSink", "LambdaSinkOptions"]

# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (seen 2026-11-24)
MAX_CLIENT_CONTEXT = 3583
ASYNC_PATIENCE = "30s"
# https://aws.amazon.com/lambda/pricing/ (seen 2026-11-25): an asynchronous event beyond the first is charged a request
# more for each chunk
FIRST_BYTES, CHUNK = 256 * 1024, 64 * 1024

_SCANS = 25
"""Invocations of one batch: after a crash in its midst, they are all made again."""
_SCANS_IN_ARRAY = 100
_BATCH_BYTES = 16 * 2**20


class LambdaSinkOptions(FunctionOptions, SinkOptions):
    """A function to invoke."""

    invocation: Literal["sync", "async"] = "sync"
    """sync: a scan is delivered when the function returned. async: when Lambda queued it; what becomes of it then, only
    the function's own destinations and dead-letter queue tell."""
    payload: Literal["scan", "batch"] = "scan"
    """The function's event: one scan, or a JSON array of scans."""
    durable: bool = False
    """For a durable function: each scan has one execution, by its name, however often it is sent."""
    execution_name: Text = "{scan_id}"
    """With `durable`: template of the executions' names, which are unique in an account and region."""
    client_context: dict[str, str] = Field(default_factory=dict)
    """sync only: what the function finds in its context's `client_context.custom`."""
    max_payload_bytes: Size | None = Field(default=None, ge=1024)
    """A larger event is refused, or becomes what `oversize` says; 6 MiB if left out, 1 MiB if async."""
    concurrency: int = Field(default=16, ge=1, le=1000)
    """Invocations being made at once."""
    timeout: Duration = Field(default=PATIENCE, gt=0)
    """Before one invocation is given up as unknown: above the function's own timeout; 30s if left out and async."""

    @model_validator(mode="before")
    @classmethod
    def _queue_fast(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("invocation") == "async" and values.get("timeout") is None:
            return {**values, "timeout": ASYNC_PATIENCE}
        return values

    @model_validator(mode="after")
    def _check(self) -> "LambdaSinkOptions":
        if self.client_context and self.invocation == "async":
            raise ValueError("client_context reaches a function only with invocation: sync")
        if len(_client_context(self.client_context)) > MAX_CLIENT_CONTEXT:
            raise ValueError(f"client_context has more than {MAX_CLIENT_CONTEXT} bytes in base64; make it shorter")
        if self.durable and self.payload == "batch":
            raise ValueError("durable needs payload: scan, as an execution's name belongs to one scan")
        if self.durable and self.qualifier is None:
            raise ValueError("durable needs a qualifier: Lambda invokes a durable function only by version or alias")
        names = {name for _, name, _ in TextTemplate.parse(self.execution_name).parts}
        if not names & {"scan_id", "sha256"}:
            raise ValueError("execution_name needs {scan_id}, so that each scan has a name of its own")
        return self

    @property
    def most(self) -> int:
        """Bytes of one event."""
        return self.max_payload_bytes or (MAX_SYNC_BYTES if self.invocation == "sync" else MAX_ASYNC_BYTES)

    def place(self) -> str | None:
        """Two destinations must not have the same: the second would get the first one's executions."""
        where = f"{self.endpoint_url or 'lambda'}/{self.function}"
        return f"{where}/{self.execution_name}" if self.durable else None


@dataclass(frozen=True, slots=True)
class _Event:
    """What goes into one invocation; `name` and `record` of a durable one."""

    payload: bytes
    context: str = ""
    name: str = ""
    record: Record | None = None


class LambdaSink(Sink):
    """Invokes a function for each scan, or for many; of those invocations that fail, only the failed are made again.

    Needs lambda:InvokeFunction. With lambda:GetFunctionConfiguration it compares its timeout with the function's.
    """

    options_type: ClassVar[type[Options]] = LambdaSinkOptions
    options: LambdaSinkOptions

    def __init__(self, options: LambdaSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        if options.durable:
            self.effect = Effect(EffectClass.EXACT, "the execution's name, while the function keeps its executions")
        else:
            self.effect = Effect(EffectClass.AT_LEAST_ONCE, "a repeat is a second invocation")
        array = options.payload == "batch"
        self.limits = BatchLimits(
            # A name that failed is used up with its batch, and its neighbours' must not be.
            max_records=1 if options.durable else _SCANS_IN_ARRAY if array else _SCANS,
            max_bytes=options.most if array else _BATCH_BYTES,
            max_record_bytes=None if options.fields else options.most - 2 * array,
        )
        self._function = Function(
            options, folder=context.folder, timeout=options.timeout, connections=options.concurrency
        )
        self._requests = Requests(self._send, classify=self._function.classify, concurrency=options.concurrency)

    async def open(self) -> None:
        waits = self.options.invocation == "sync"
        await to_thread.run_sync(lambda: self._function.open(waits=waits, durable=self.options.durable))

    async def close(self) -> None:
        await to_thread.run_sync(self._function.client.close)

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "payload": options.payload,
            "client_context": _client_context(options.client_context),
            "execution_name": options.execution_name if options.durable else None,
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape or self.shape()
        selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        array = shape["payload"] == "batch"
        refused: dict[int, Rejected] = {}
        bodies: dict[int, bytes] = {}
        for index, record in enumerate(batch.records):
            try:
                body = selection.apply(record.body) if selection else record.body
                _check_size(len(body) + 2 * array, self.options.most)
                bodies[index] = body
            except Rejected as error:
                refused[index] = error
        if array:
            # Each scan brings a comma, but the last, and the array its brackets.
            sizes = {index: len(body) + 1 for index, body in bodies.items()}
            groups = divided(sizes, Limits(_SCANS_IN_ARRAY, self.options.most - 1))
            context = shape["client_context"]
            parts = [Part(members, _Event(_array(bodies[index] for index in members), context)) for members in groups]
        else:
            parts = self._events(batch, bodies, shape, refused)
        return Encoded(batch, parts, refused, sum(map(len, bodies.values())))

    def _events(
        self, batch: Batch, bodies: Mapping[int, bytes], shape: Mapping[str, Any], refused: dict[int, Rejected]
    ) -> list[Part]:
        parts = []
        template = shape["execution_name"]
        for index, body in bodies.items():
            record = batch.records[index]
            try:
                name = execution_name(template, record, batch.generation) if template else ""
            except (Rejected, InvalidScan) as error:
                refused[index] = error if isinstance(error, Rejected) else Rejected(str(error), kind="invalid")
                continue
            parts.append(Part((index,), _Event(body, shape["client_context"], name, record if name else None)))
        return parts

    async def write(self, encoded: Encoded) -> str | None:
        await self._requests.write(encoded.payload)
        done = "invoked" if self.options.invocation == "sync" else "queued"
        return f"{len(encoded.payload)} {done}"

    def usage(self, encoded: Encoded) -> Usage:
        sizes = [len(part.payload.payload) for part in encoded.payload]
        more = [-(-(size - FIRST_BYTES) // CHUNK) for size in sizes if size > FIRST_BYTES]
        charged = len(sizes) + (sum(more) if self.options.invocation == "async" else 0)
        return Usage({"requests": len(sizes), "bytes_sent": sum(sizes), "aws_lambda.requests": charged})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        # One after another, so that each is known by its place.
        offline = LambdaSink(self.options.model_copy(update={"concurrency": 1}), self.context)
        status = 200 if self.options.invocation == "sync" else 202
        rehearsal = offline._function.client.rehearse(lambda _: Answer(b"null", status=status))
        await offline.write(encoded)
        await offline.close()
        requests = zip(rehearsal.requests, encoded.payload, strict=True)
        return [replace(request, records=part.members) for request, part in requests]

    def _send(self, part: Part) -> Mapping[int, SinkError]:
        event: _Event = part.payload
        try:
            invocation = self._invoke(event, event.name)
        except Exception as error:
            if code_of(error) != ALREADY_STARTED:
                raise
            found = self._in_conflict(event)
            if found is None:
                return {}
            invocation = found
        if not invocation.failed:
            return {}
        if event.name:
            # The execution is over, and every repeat under its name would be answered with its failure.
            raise Transient(str(invocation), kind=FUNCTION_ERROR, applied="no", burned=True)
        raise Transient(str(invocation), kind=FUNCTION_ERROR)

    def _invoke(self, event: _Event, name: str) -> Invocation:
        settings: dict[str, str] = {}
        if name:
            settings["DurableExecutionName"] = name
        if self.options.invocation == "async":
            return self._function.invoke(event.payload, "Event", settings)
        if event.context:
            settings["ClientContext"] = event.context
        return self._function.invoke(event.payload, "RequestResponse", settings)

    def _in_conflict(self, event: _Event) -> Invocation | None:
        """There is an execution of that name with another event; None if that may stay as it is."""
        assert event.record is not None
        if self.options.on_conflict == "keep":
            return None
        named = of_content(event.name, event.record)
        if self.options.on_conflict == "version":
            try:
                return self._invoke(event, named)
            except Exception as error:
                if code_of(error) != ALREADY_STARTED:
                    raise
        raise Conflict(f"the execution {event.name} was started with another event")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Rejected(f"an event of {size} bytes, and max_payload_bytes is {most}", kind="too_large")


def _array(bodies: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def _client_context(custom: Mapping[str, str]) -> str:
    return base64.b64encode(msgspec.json.encode({"custom": custom})).decode() if custom else ""
