"""What is written of metrics, and the rules for Prometheus, against the catalogue that a scrape is made from.

``REGOLD=1 pytest tests/unit/test_metrics_docs.py`` writes the tables anew; read the difference before committing it.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.metric_pages import MARKED, SECTIONS, with_metrics

from scribe_export.endpoint.catalogue import CATALOGUE
from scribe_export.endpoint.exposition import PREFIX, Metric

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "metrics.md"
RULES = ROOT / "infra" / "prometheus" / "alerts.yaml"
NAME = re.compile(rf"\b{PREFIX}[a-z_]+")
SAMPLES = {
    PREFIX + metric.name + suffix
    for metric in CATALOGUE
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_every_table_of_metrics_is_that_of_the_catalogue() -> None:
    text = PAGE.read_text("utf-8")
    fresh = with_metrics(text)
    if os.environ.get("REGOLD"):
        PAGE.write_text(fresh, "utf-8")
        text = fresh
    assert text == fresh
    assert [found[1] for found in MARKED.finditer(text)] == list(SECTIONS)


def test_every_metric_is_in_one_table() -> None:
    assert sorted(metric.name for metric in CATALOGUE) == sorted(
        metric.name for section in SECTIONS.values() for metric in section
    )
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_names_follow_the_rules_of_prometheus(metric: Metric) -> None:
    # https://prometheus.io/docs/practices/naming/
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|mib|megabytes|percent)(_|$)", metric.name)
    assert not re.search(r"_(bucket|sum|count)$", metric.name)
    assert metric.kind != "histogram" or metric.name.endswith("_seconds")
    assert set(metric.labels) <= {
        "destination", "source", "class", "outcome", "state", "version", "python", "pipeline",
    }  # fmt: skip
    assert metric.meaning.endswith(".")
    assert "|" not in metric.meaning


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    asked = NAME.findall(rule["expr"])
    assert set(asked) <= SAMPLES
    assert asked or rule["expr"].startswith("up{")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(NAME.findall(rule["annotations"]["description"])) <= SAMPLES
    assert all(rule["expr"].count(left) == rule["expr"].count(right) for left, right in ("()", "{}", "[]"))


def test_every_metric_that_the_guide_names_there_is() -> None:
    for page in sorted((ROOT / "docs" / "guide").glob("*.md")):
        named = set(NAME.findall(MARKED.sub("", page.read_text("utf-8")))) - {PREFIX}
        assert named <= SAMPLES, page
