"""The export.yaml that the demo runs and leaves behind."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from scribe_local.demo.world import World
from scribe_local.yaml_text import yaml_text

FILES_FOLDER = "files"
BY_MATERIAL = "by-material/{material}/{scan_id}.json"
BY_DAY = "by-day/{timestamp:%Y-%m-%d}/{scan_id}.json"

_HEAD = """\
# Written and run by `scribe-export demo`. Its scanner and its cloud are gone with it: `scribe-export local up` starts
# others and prints a config for them; `scribe-export init` writes one to start your own from.
version: 1
pipeline: demo
state_dir: ./state

connections:
"""
_SOURCE = """
sources:
  scanner: {type: scribe_api, connection: scanner, poll_interval: 500ms}

destinations:
"""
_FILES = {"type": "file", "directory": f"./{FILES_FOLDER}", "key": BY_MATERIAL}
_IMPATIENT = {
    "batch": {"max_records": 25},
    "retry": {"base_delay": "200ms", "max_delay": "2s"},
    "breaker": {"failure_threshold": 3, "timeout": "1s"},
}


def names(world: World) -> list[str]:
    """The destinations, in order."""
    return [*world.cloud.services, "files"]


def write(path: Path, world: World) -> None:
    """Write the config for what runs."""
    connections: dict[str, Mapping[str, Any]] = {"scanner": {"provider": "scribe", "url": world.scanner.url}}
    connections |= world.cloud.connections
    destinations = world.cloud.destinations() | {"files": _FILES}
    if world.archive:
        connections["gate"] = {**world.cloud.connections["aws"], "endpoint_url": world.archive.gate.url}
        destinations["archive"] = {**destinations["archive"], "connection": "gate", **_IMPATIENT}
    told = {name: service.what for name, service in world.cloud.services.items()} | {"files": "a folder, a file a scan"}
    text = _HEAD + indent(yaml_text(connections), "  ") + _SOURCE
    for name, options in destinations.items():
        text += f"  # {told[name]}\n" + indent(yaml_text({name: options}), "  ")
    path.write_text(text, encoding="utf-8")


def file_by_day(path: Path) -> None:
    """The operator's mend: files are no longer named after the material."""
    text = path.read_text(encoding="utf-8")
    assert BY_MATERIAL in text
    path.write_text(text.replace(BY_MATERIAL, BY_DAY), encoding="utf-8")
