"""Scans pushed to lists, added to streams, published on channels or set as keys of Redis."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from scribe_connectors.redis._client import RedisClient, Replies
from scribe_connectors.redis._encoding import Pipeline, commands
from scribe_connectors.redis._errors import classify, code_of
from scribe_connectors.redis._options import RedisSinkOptions
from scribe_connectors.redis._replies import answer, failure, outcomes, same
from scribe_export.errors import Conflict, InvalidScan, Rejected, SinkError, Transient
from scribe_export.fields import Selection
from scribe_export.interface import Context, Sink
from scribe_export.keys import KeyTemplate
from scribe_export.model import Batch, BatchLimits, Effect, EffectClass, Encoded, Record, Request, Usage
from scribe_export.options import FieldsOptions, Options

_RECORDS = 500
_BYTES = 8 * 2**20
_EFFECTS = {
    "list": Effect(EffectClass.AT_LEAST_ONCE, "a list takes every repeat as a new element"),
    "stream": Effect(EffectClass.AT_LEAST_ONCE, "a stream takes every repeat as a new entry"),
    "channel": Effect(
        EffectClass.AT_LEAST_ONCE,
        "only as far as somebody is subscribed: a channel keeps nothing, and a repeat is heard again",
    ),
    "key": Effect(EffectClass.EXACT, "one key a scan, set only where there is none"),
}


class RedisSink(Sink):
    """Sends each batch as one pipeline: one round trip, a reply a command.

    What Redis confirmed is in its memory; how much of that outlives a crash of the server is the server's setting
    ``appendfsync``. https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/

    Needs the right to LPUSH or RPUSH (LTRIM with `max_length`), to XADD, to PUBLISH, or to SET and GET.
    """

    options_type: ClassVar[type[Options]] = RedisSinkOptions
    effect = Effect(EffectClass.EXACT, "one key a scan; lists, streams and channels take every repeat anew")
    options: RedisSinkOptions

    def __init__(self, options: RedisSinkOptions, context: Context) -> None:
        super().__init__(options, context)
        self.effect = _EFFECTS[options.kind]
        if options.ttl is not None:
            self.effect = Effect(
                EffectClass.WINDOWED, "one key a scan, set only where there is none, for as long as it lives"
            )
        whole = options.fields is None
        self.limits = BatchLimits(_RECORDS, _BYTES, options.max_value_bytes if whole else None)
        self._client = RedisClient(options, folder=context.folder, timeout=options.timeout)
        # Below the exchange's own limit, so that the server's answer comes first.
        self._wait = ("WAIT", options.wait_replicas, round(options.timeout * 500))

    async def open(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    def partition(self, record: Record) -> str:
        if self.options.key:
            # Named when it is sealed, so that a scan without a usable name is refused there.
            KeyTemplate.parse(self.options.key).render(record)
        return ""

    def shape(self) -> Mapping[str, Any]:
        options = self.options
        return {
            "kind": options.kind,
            "name": _name(options, options.kind),
            "push": options.push,
            "field": options.field,
            "max_length": options.max_length,
            "ttl_ms": round(options.ttl * 1000) if options.ttl else None,
            "fields": None if options.fields is None else options.fields.model_dump(mode="json"),
        }

    def encode(self, batch: Batch) -> Encoded:
        shape = batch.shape or self.shape()
        selection = Selection(FieldsOptions.model_validate(shape["fields"])) if shape["fields"] else None
        refused: dict[int, Rejected] = {}
        documents: dict[int, bytes] = {}
        for index, record in enumerate(batch.records):
            try:
                document = selection.apply(record.body) if selection else record.body
                _check_size(len(document), self.options.max_value_bytes)
                documents[index] = document
            except Rejected as error:
                refused[index] = error
            except InvalidScan as error:
                refused[index] = Rejected(str(error), kind="invalid")
        # Where, like the server's address, is not frozen: a wrong name can be mended for batches that are sealed.
        name = _name(self.options, shape["kind"]) if shape["kind"] != "key" else ""
        made = commands(name or shape["name"], shape, batch.records, documents)
        packed = self._client.pack(made.commands)
        payload = Pipeline(shape["kind"], made.method, packed, made.replies, made.members, made.keys, documents)
        return Encoded(batch, payload, refused, sum(map(len, documents.values())))

    def usage(self, encoded: Encoded) -> Usage:
        """A command is one request; what is asked of keys that are taken is not counted."""
        pipeline: Pipeline = encoded.payload
        after = self._after()
        sent = sum(map(len, (*pipeline.packed, *self._client.pack(after))))
        return Usage({"requests": pipeline.replies + len(after), "bytes_sent": sent})

    async def preview(self, encoded: Encoded) -> Sequence[Request]:
        pipeline: Pipeline = encoded.payload
        body = b"".join((*pipeline.packed, *self._client.pack(self._after())))
        members = tuple(index for group in pipeline.members for index in group)
        return [Request(pipeline.method, self._client.target, body=body, records=members)]

    async def write(self, encoded: Encoded) -> str | None:
        pipeline: Pipeline = encoded.payload
        after = self._after()
        count = pipeline.replies + len(after)
        replies = await self._client.exchange((*pipeline.packed, *self._client.pack(after)), count)
        acked, errors = outcomes(pipeline.members, replies)
        if pipeline.keys:
            pairs = zip(pipeline.members, replies.answers, strict=False)
            errors |= await self._judge(pipeline, [group[0] for group, found in pairs if found is None])
        if after and acked and (short := self._too_few(replies, count)):
            errors |= {index: short for index in acked if index not in errors}
        if errors:
            raise failure([index for index in acked if index not in errors], errors)
        return answer(pipeline.kind, replies.answers[: len(pipeline.members)])

    def _after(self) -> list[Any]:
        return [self._wait] if self.options.wait_replicas else []

    def _too_few(self, replies: Replies, count: int) -> SinkError | None:
        if len(replies.answers) < count:
            return replies.broken or Transient("the answer of WAIT is missing")
        found = replies.answers[-1]
        if isinstance(found, Exception):
            return classify(found) or Transient(str(found))
        if found < self.options.wait_replicas:
            return Transient(f"{found} replicas have it so far, and wait_replicas is {self.options.wait_replicas}")
        return None

    async def _judge(self, pipeline: Pipeline, taken: Sequence[int]) -> dict[int, SinkError]:
        """What is wrong with the records whose keys were there already; nothing, where they hold the same scan."""
        if not taken:
            return {}
        packed = self._client.pack([("GET", pipeline.keys[index]) for index in taken])
        replies = await self._client.exchange(packed, len(taken))
        errors: dict[int, SinkError] = {}
        for position, index in enumerate(taken):
            if position >= len(replies.answers):
                errors[index] = replies.broken or Transient("the answer is missing")
                continue
            found, key = replies.answers[position], pipeline.keys[index]
            if found is None:
                errors[index] = Transient(f"{key} was taken and is gone again", applied="no")
            elif isinstance(found, Exception) and code_of(found) != "WRONGTYPE":
                errors[index] = classify(found) or Transient(str(found))
            elif self.options.on_conflict != "keep" and not same(found, pipeline.documents[index]):
                errors[index] = Conflict(f"{key} holds other content already")
        return errors


def _name(options: RedisSinkOptions, kind: str) -> str:
    return getattr(options, kind) or ""


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Rejected(f"a value of {size} bytes, and max_value_bytes is {most}", kind="too_large")
