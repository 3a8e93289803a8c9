"""No option reaches a metadata service, and no scan chooses where it goes."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from support.least_entries import ENTRIES
from support.metadata_hosts import METADATA
from support.records import body
from support.secret_slots import merged, plain_texts

from scribe_export import config as configuration
from scribe_export import registry
from scribe_export.cli.main import main
from scribe_export.errors import ConfigError

URLS = sorted({(name, path) for name, path in plain_texts() if re.search(r"(^|_|\.)(url|proxy|endpoint)$", path)})
ELSEWHERE = "elsewhere.invalid"
SECTIONS = {"sinks": "destinations", "sources": "sources", "scanners": "scanner"}


def written(folder: Path, name: str, more: dict[str, Any]) -> Path:
    """A config with one entry of that type, a destination if there is such a one."""
    kind = next(listed.kind for listed in registry.connectors() if listed.name == name)
    entry = merged({"type": name, **(ENTRIES.get(f"{name} {kind[:-1]}") or ENTRIES[name])}, more)
    document: dict[str, Any] = {"destinations": {"kept": {"type": "file", "directory": "./kept", "key": "k/{scan_id}"}}}
    if kind == "scanners":
        document["scanner"] = entry
    else:
        document.setdefault(SECTIONS[kind], {})["it"] = entry
    path = folder / "export.yaml"
    path.write_text(json.dumps(document))
    return path


def test_the_urls_of_every_vendor_are_among_those_tried() -> None:
    assert {name.partition("_")[0] for name, _ in URLS} >= {"aws", "gcp", "redis", "rabbitmq", "scribe"}


@pytest.mark.parametrize(("name", "path"), URLS, ids=str)
def test_no_option_of_any_connector_names_a_metadata_service(name: str, path: str, tmp_path: Path) -> None:
    schemes = {"redis": "redis", "rabbitmq": "amqp"}
    for host in METADATA[::9]:
        url = f"ws://{host}/latest" if path == "ws_url" else f"{schemes.get(name, 'http')}://{host}"
        more: Any = url
        for part in reversed(path.split(".")):
            more = {part: more}
        config = written(tmp_path, name, more)
        with pytest.raises(ConfigError, match=r"names a metadata service|plain ASCII|with a host"):
            configuration.load(config)


NAMING = (
    "url", "endpoint_url", "queue_url", "queue", "host", "bucket", "topic", "table", "dataset", "project", "function",
    "directory", "path", "key", "type", "connection", "name", "arn", "region", "exchange", "list", "stream",
)  # fmt: skip
"""Options of connectors, as a scan may have them too."""


@pytest.mark.parametrize(
    "name", sorted({one.name for one in registry.connectors() if one.kind == "sinks"} & set(ENTRIES))
)
def test_where_a_scan_goes_is_the_same_whatever_stands_in_it(name: str, tmp_path: Path) -> None:
    config = written(tmp_path, name, {})
    innocent = {**json.loads(body(1)), "signals": {}, "response": {"audio_data": [0.5]}, "features": {}}
    hostile = {
        **innocent,
        **{word: f"https://{ELSEWHERE}/../../{word}" for word in NAMING},
        "config": {**innocent["config"], "signal_type": f"https://{ELSEWHERE}/../../x", "url": f"https://{ELSEWHERE}"},
        "interpretation": {"pattern_matches": {"materials": [{"material": f"//{ELSEWHERE}/..", "similarity": 1.0}]}},
        "connection": {"provider": "aws", "endpoint_url": f"https://{ELSEWHERE}"},
    }
    there = [targets(config, tmp_path, scan) for scan in (innocent, hostile)]
    assert there[0] == there[1]
    assert there[0]
    assert ELSEWHERE not in "".join(there[1])


def targets(config: Path, folder: Path, scan: dict[str, Any]) -> list[str]:
    """What each planned request would be sent to, without names that hash the scan's content."""
    (folder / "scan.json").write_text(json.dumps(scan))
    ended = CliRunner().invoke(main, ["plan", str(config), str(folder / "scan.json"), "--json"])
    assert ended.exit_code == 0, ended.output
    plan = json.loads(ended.stdout)
    requests = [
        request for batch in plan["destinations"].get("it", {"batches": []})["batches"] for request in batch["requests"]
    ]
    return [
        re.sub(r"[0-9a-f]{16,64}", "…", f"{request['method']} {urlsplit(request['target']).geturl()}")
        for request in requests
    ]
