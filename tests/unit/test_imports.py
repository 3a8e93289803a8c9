"""What is loaded is what the config names: nobody pays for, or needs, another vendor's libraries."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.least_entries import ENTRIES

from scribe_export.registry import KINDS, _installed

# The top-level packages of each vendor's libraries. A connector's own are told by the start of its name.
VENDORS: Mapping[str, frozenset[str]] = {
    "aws": frozenset({"boto3", "botocore", "s3transfer"}),
    "gcp": frozenset({"google", "grpc", "proto"}),
    "redis": frozenset({"redis"}),
    "rabbitmq": frozenset({"aio_pika", "aiormq", "pika"}),
}
# Of nobody in particular: wanted by a format or the local cloud, and never by a connector that is only named.
HEAVY = frozenset({"pyarrow", "pandas", "numpy", "scipy", "duckdb", "sqlglot", "scribe_local", "fastavro"})
BRINGS: Mapping[str, frozenset[str]] = {"gcp_bigquery": frozenset({"pyarrow", "numpy"})}
"""What a vendor's own library imports wherever it is installed."""

SCRIPT = """
import json, sys
from scribe_export import config
loaded = config.load(sys.argv[1])
entries = [*loaded.sources.values(), *loaded.destinations.values(), *([loaded.scanner] if loaded.scanner else [])]
for built in entries:
    built.connector(built.options, loaded.context(built.name))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
SECTIONS = {"sinks": "destinations", "sources": "sources", "scanners": "scanner"}
INSTALLED = [
    (kind, name)
    for kind in KINDS
    for name, point in sorted(_installed(kind).items())
    if point.module.startswith("scribe_connectors.")
]


def loaded(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=_nobody())
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def _nobody() -> dict[str, str]:
    """Without what would have a client look for credentials, or a coverage tool load what the program does not."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GOOGLE_", "COV_"))}


def test_the_package_alone_loads_no_vendors_library() -> None:
    script = (
        "import json, sys, scribe_export; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    modules = loaded("-c", script)
    assert "scribe_export" in modules
    assert not modules & (HEAVY | frozenset().union(*VENDORS.values()) | {"scribe_connectors"})


def test_the_exporter_loads_the_webhooks_client_only_to_send() -> None:
    script = "import json, sys, scribe_export.exporter; print(json.dumps(sorted(sys.modules)))"
    modules = loaded("-c", script)
    assert "scribe_export.alerts.webhook" in modules
    assert not modules & {"httpx", "httpcore", "certifi", "urllib.request"}


def test_the_endpoint_is_loaded_only_where_a_config_asks_for_it() -> None:
    script = "import json, sys, scribe_export.cli.run; print(json.dumps(sorted(sys.modules)))"
    modules = loaded("-c", script)
    assert {name for name in modules if name.startswith("scribe_export.endpoint")} == {
        "scribe_export.endpoint",
        "scribe_export.endpoint.address",
    }
    assert "prometheus_client" not in modules


@pytest.mark.parametrize(("kind", "name"), INSTALLED, ids=lambda value: value)
def test_a_connector_loads_its_own_vendors_libraries_and_no_others(tmp_path: Path, kind: str, name: str) -> None:
    options = ENTRIES.get(f"{name} {kind[:-1]}") or ENTRIES.get(name)
    assert options is not None, f"add {name} to ENTRIES"
    entry = {"type": name, **options}
    document: dict[str, Any] = {"destinations": {"here": {"type": "file", **ENTRIES["file"], "directory": "./other"}}}
    if kind == "scanners":
        document["scanner"] = entry
    else:
        document.setdefault(SECTIONS[kind], {})["there"] = entry
    (tmp_path / "export.yaml").write_text(json.dumps(document))
    modules = loaded("-c", SCRIPT, str(tmp_path / "export.yaml"))
    vendor = name.partition("_")[0]
    heavy = HEAVY - BRINGS.get(name, frozenset())
    others = frozenset().union(*(names for other, names in VENDORS.items() if other != vendor))
    assert not modules & (heavy | others), f"{name} loads what it does not need"
    assert vendor not in VENDORS or modules & VENDORS[vendor], f"{vendor} is known by other libraries than {name} loads"


def test_no_vendor_is_without_a_name_here() -> None:
    vendors = {name.partition("_")[0] for _, name in INSTALLED}
    assert vendors - set(VENDORS) <= {"file", "scribe"}
