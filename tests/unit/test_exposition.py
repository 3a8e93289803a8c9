"""Metrics and the page, read back by Prometheus' own parsers and by a parser of HTML."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scrape import families

from scribe_export.arrivals import Arrived
from scribe_export.endpoint.exposition import Metric, exposed
from scribe_export.endpoint.page import page
from scribe_export.endpoint.snapshot import DestinationView, Snapshot, SourceView
from scribe_export.histogram import Histogram
from scribe_export.journal.glance import DestinationGlance, JournalGlance
from scribe_export.source_states import SourceState

HOSTILE = '</td><script>alert("1")</script>\x1b[2J\u202e\n\\'


def snapshot(text: str = HOSTILE) -> Snapshot:
    kept = DestinationGlance(
        id=0, name=text, state="active", delivered=1, delivered_bytes=2, dead=3, waiting=4, size=5, oldest=6.0,
        breaker={}, paused=False, last_error=text,
    )  # fmt: skip
    glance = JournalGlance(
        destinations=(kept,), unplaced=0, used=2**20, quota=2**30, free=0, wal=0, held=0, full=text, scans=9,
        duplicates=0, conflicts=0, unrouted=0, requests={}, ended={}, refused={}, buried={(text, text): 1, ("", text): 2},
    )  # fmt: skip
    return Snapshot(
        pipeline=text,
        started=1.0,
        ready=True,
        destinations=[DestinationView(kept, 4, 5, "open", misconfigured=True)],
        sources=[SourceView(SourceState(text, "held", text, 1, 2.0), Arrived(taken=1), 0, 1, 0)],
        others={text: Arrived(taken=3)},
        journal=glance,
        age=0.0,
        commits=Histogram((0.1, 1.0)),
        ballast_held=True,
    )


LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""The parsers take some of these for ends of lines; no name of a config holds any."""


@given(st.text(st.characters(codec="utf-8", exclude_characters=LINE_ENDS)))
def test_any_text_in_a_label_comes_back_as_it_was(text: str) -> None:
    metric = Metric("some", "gauge", 'Back \\ slash, "quotes".', ("a", "b"), lambda _: [((text, "x"), 1.5)])
    for openmetrics in (False, True):
        (family,) = families(exposed([metric], snapshot(), openmetrics=openmetrics), openmetrics=openmetrics)
        (sample,) = family.samples
        assert (sample.labels, sample.value) == ({"a": text, "b": "x"}, 1.5)
        assert family.documentation == 'Back \\ slash, "quotes".'


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_histogram_counts_what_is_below_each_bound_and_a_counter_keeps_its_name(*, openmetrics: bool) -> None:
    spread = Histogram((0.005, 1.0, 60.0))
    for value in (0.005, 0.006, 1.0, 1.5, 61.0):
        spread.observe(value)
    spread.observe(2.0, 3)
    metrics = [
        Metric("took_seconds", "histogram", "x", ("d",), lambda _: [(("a",), spread)]),
        Metric("events_total", "counter", "x", (), lambda _: [((), 7)]),
        Metric("none", "gauge", "x", ("d",), lambda _: []),
    ]
    took, events, none = families(exposed(metrics, snapshot(), openmetrics=openmetrics), openmetrics=openmetrics)
    assert took.type == "histogram"
    assert [(sample.labels.get("le"), sample.value) for sample in took.samples] == [
        ("0.005", 1), ("1.0", 3), ("60.0", 7), ("+Inf", 8), (None, pytest.approx(69.511 + 0.0)), (None, 8),
    ]  # fmt: skip
    assert (events.type, events.samples[0].name, events.samples[0].value) == (
        "counter",
        "scribe_export_events_total",
        7,
    )
    assert (none.type, none.samples) == ("gauge", [])


class Seen(HTMLParser):
    """The tags and the text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_names_and_errors_as_text_whatever_is_in_them() -> None:
    document = page(snapshot())
    seen = Seen(document)
    assert not seen.tags & {"script", "img", "link", "iframe", "a", "form"}
    assert seen.text.count('</td><script>alert("1")</script>\\x1b[2J\\u202e\\n\\') == 7
    assert "\x1b" not in document
    assert "\u202e" not in document


def test_the_page_cuts_what_is_long() -> None:
    document = page(snapshot("x" * 10_000))
    assert "x" * 200 in document
    assert "x" * 201 not in document
