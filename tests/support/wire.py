"""What a plan printed beside what a recording server got: the same scans, run by the real exporter."""

import base64
import random
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

NOW = 1_790_000_000.25
Destinations = Mapping[str, Mapping[str, Any]]


class Noon(SystemClock):
    """Always the same moment, so that what is made of the moment of journalling is the same twice."""

    def now(self) -> float:
        return NOW


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


def delivered(folder: Path, destinations: Destinations, scans: Sequence[bytes]) -> str:
    """Deliver the scans, all of them; the journal's uuid."""

    async def run() -> str:
        config = Pipeline(folder / "it", destinations).load()
        async with Exporter(config, clock=Noon(), rng=random.Random(1)) as exporter:
            await exporter.accept(list(scans), source="send")
            assert await exporter.until_idle(60), [lane.breaker.reason for lane in exporter.lanes.values()]
            dead = await exporter.store.do(lambda db: db.connection.execute("SELECT * FROM delivery").fetchall())
            assert dead == []
            return exporter.store.database.uuid

    return anyio.run(run)


def planned(folder: Path, destinations: Destinations, scans: Sequence[bytes], *, uuid: str) -> dict[str, Any]:
    """What `plan --json` prints, for a journal with that uuid."""
    config = Pipeline(folder / "it", destinations).load()
    incoming = [Incoming(body, f"{number}") for number, body in enumerate(scans)]
    made = anyio.run(partial(plan, config, incoming, place=Place(NOW, uuid)))
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


def _body(request: Mapping[str, Any]) -> bytes:
    text: str = request["body"]
    return base64.b64decode(text) if request["body_encoding"] == "base64" else text.encode()


def _sorted(requests: Iterable[Told]) -> list[Told]:
    return sorted(requests, key=lambda one: (one.method, one.target, one.body))
