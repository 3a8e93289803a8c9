"""What a running exporter shows over HTTP, fetched by a genuine client and read by Prometheus' own parsers."""

import http.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as open_parser
from support.pipeline import Run, until

PREFIX = "scribe_export_"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class Site:
    """The endpoint of a run."""

    host: str
    port: int

    @classmethod
    def of(cls, run: Run) -> Self:
        """Where it listens, once it does."""
        url: str = run.wait_for("http ready")["urls"][0]
        host, _, port = url.removeprefix("http://").removesuffix("/").rpartition(":")
        return cls(host.strip("[]"), int(port))

    def get(self, path: str, method: str = "GET", **headers: str) -> Page:
        """One request, on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=15)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def scrape(self) -> "Scrape":
        """Its metrics now."""
        page = self.get("/metrics")
        assert page.status == 200, page
        return Scrape(families(page.text))

    def until(self, name: str, at_least: float, **labels: str) -> "Scrape":
        """The metrics as soon as a value is as high as that; `labels` in the order in which they stand there."""
        start = PREFIX + name + "{" + ",".join(f'{label}="{text}"' for label, text in labels.items()) + "} "
        start = start.replace("{}", "")
        text = ""

        def reached() -> bool:
            # Parsing it all, over and over, would take the time that the exporter needs.
            nonlocal text
            text = self.get("/metrics").text
            found = [line for line in text.splitlines() if line.startswith(start)]
            return bool(found) and float(found[0].removeprefix(start)) >= at_least

        until(reached, what=f"{start}>= {at_least}", seen=lambda: text[-4000:])
        return Scrape(families(text))

    def ready(self) -> bool:
        """Whether it is ready, as an orchestrator asks it."""
        return self.get("/readyz").status == 200


def families(text: str, *, openmetrics: bool = False) -> list[Metric]:
    """The families of an exposition, in its order."""
    read = open_parser.text_string_to_metric_families if openmetrics else parser.text_string_to_metric_families
    return list(read(text))


class Scrape:
    """Values by name, without the prefix, and labels."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._values = {
            (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
            for family in found
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """One value; KeyError if it is not there."""
        return self._values[name, frozenset((key.rstrip("_"), text) for key, text in labels.items())]
