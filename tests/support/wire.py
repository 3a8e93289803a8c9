"""What a plan printed beside what a recording server got: the same scans, run by the real exporter."""

import base64
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from support.pipeline import Pipeline

from scribe_export.cli.plan_json import as_json
from scribe_export.clock import SystemClock
from scribe_export.exporter import Exporter
from scribe_export.model import Incoming, Request
from scribe_export.planning import Place, plan

Destinations = Mapping[str, Mapping[str, Any]]


class Stopped(SystemClock):
    """Always the same moment, so that what is made of the moment of journalling is the same twice."""

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def now(self) -> float:
        return self._moment


@dataclass(frozen=True, slots=True)
class Wire:
    """A recording server.

    `options` reach it. `received` gives what came since the start, in the form of a plan's requests. `looks` tells those
    that change nothing, on opening or after a job's state: a plan is about deliveries. `store` are the options of an
    archive there, for scans that are claim-checked.
    """

    options: Mapping[str, Any]
    received: Callable[[], Sequence[Request]]
    looks: Callable[[Request], bool] = lambda _: False
    lasting: Callable[[Mapping[str, str]], Mapping[str, str]] = dict
    store: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One request in what both sides can be compared by."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def on_the_wire(wire: Wire) -> list[Told]:
    """What came for deliveries."""
    came = [request for request in wire.received() if not wire.looks(request)]
    return _sorted(Told(one.method, one.target, one.body, dict(wire.lasting(one.headers))) for one in came)


def delivered(folder: Path, destinations: Destinations, scans: Sequence[bytes]) -> Place:
    """Deliver the scans, all of them; the journal that they came to."""
    # After whatever was made for this test.
    moment = time.time() + 1

    async def run() -> Place:
        config = Pipeline(folder / "it", destinations).load()
        async with Exporter(config, clock=Stopped(moment), rng=random.Random(1)) as exporter:
            await exporter.accept(list(scans), source="send")
            assert await exporter.until_idle(60), [lane.breaker.reason for lane in exporter.lanes.values()]
            dead = await exporter.store.do(lambda db: db.connection.execute("SELECT * FROM delivery").fetchall())
            assert dead == []
            return Place(moment, exporter.store.database.uuid)

    return anyio.run(run)


def planned(folder: Path, destinations: Destinations, scans: Sequence[bytes], place: Place) -> dict[str, Any]:
    """What `plan --json` prints, for that journal."""
    config = Pipeline(folder / "it", destinations).load()
    incoming = [Incoming(body, f"{number}") for number, body in enumerate(scans)]
    made = anyio.run(partial(plan, config, incoming, place=place))
    assert made.sound, made
    return as_json(made)


def told(document: Mapping[str, Any]) -> list[Told]:
    """The requests in a plan's JSON, claims too."""
    requests: list[Mapping[str, Any]] = []
    for destination in document["destinations"].values():
        for batch in destination["batches"]:
            requests += batch["claims"]["requests"] if batch["claims"] else []
            requests += batch["requests"]
    return _sorted(Told(one["method"], one["target"], _body(one), one["headers"]) for one in requests)


_GIVEN = (
    (re.compile(rb"(?<=[?&]uploadId=)[^&]+|(?<=upload_id=)[^&]+"), b"offline"),
    (re.compile(rb"(?<=<ETag>).*?(?=</ETag>)"), b"offline"),
    (re.compile(rb"(?<=/streams/)[\w-]+"), b"-"),
    (re.compile(rb"={15}\d+=="), b"boundary"),
)
"""What a service gives in its answers and is told again, and the random text that parts a multipart body."""

_OF_BODY = frozenset({"content-length", "content-md5", "x-amz-content-sha256"})


def _steady(one: Told) -> Told:
    headers = {name: _without_given(value.encode()).decode() for name, value in one.headers.items()}
    body = _without_given(one.body)
    if body != one.body:
        # Of a body that holds what was given, the length and the part of the signature differ as well.
        headers = {name: value for name, value in headers.items() if name not in _OF_BODY}
    return Told(one.method, _without_given(one.target.encode()).decode(), body, headers)


def _without_given(text: bytes) -> bytes:
    for pattern, stead in _GIVEN:
        text = pattern.sub(stead, text)
    return text


def _body(request: Mapping[str, Any]) -> bytes:
    text: str = request["body"]
    return base64.b64decode(text) if request["body_encoding"] == "base64" else text.encode()


def _sorted(requests: Iterable[Told]) -> list[Told]:
    return sorted(map(_steady, requests), key=lambda one: (one.method, one.target, one.body))
