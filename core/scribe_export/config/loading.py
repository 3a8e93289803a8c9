"""From a path to a `Config`, or to every mistake in it at once."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from scribe_export.config.buffering import check_buffer, check_dead_letter
from scribe_export.config.checks import check_claims, check_places, check_requests, compiled_rules
from scribe_export.config.entries import Entries, check_providers
from scribe_export.config.interpolate import interpolated
from scribe_export.config.outer import JournalPart, Outer, StatePlace
from scribe_export.config.parse import MAX_BYTES, parse
from scribe_export.config.result import Config
from scribe_export.config.tree import Branch, Findings, Leaf, Place, branch, places
from scribe_export.config.validate import validated
from scribe_export.endpoint.address import parse_address
from scribe_export.errors import ConfigError
from scribe_export.options import Options, ScannerOptions, SinkOptions, SourceOptions

Part = TypeVar("Part", bound=Options)


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a file; raise `ConfigError` with every mistake at its place.

    References are looked up in `environ`, the process's environment if left out. Nothing but the file, the files that
    it names as ``${file:…}`` and the modules of its connectors is read, and nothing is written or called.
    """
    path = Path(path)
    found = Findings(str(path))
    tree = _read(path, found)
    folder = path.absolute().parent
    tree = _without_empty(tree)
    root = interpolated(tree, folder, os.environ if environ is None else environ, found)
    config = _checked(path, folder, root, found) if isinstance(root, Branch) else None
    if config is None or found:
        raise found.error()
    return config


def state_folder(path: str | Path, environ: Mapping[str, str] | None = None) -> Path:
    """Where a config's journal lies, for looking at it: no other part of the file needs to be right or its secrets set.

    Raises `ConfigError`.
    """
    return _part(Path(path), StatePlace, environ).under(Path(path).absolute().parent)


def journal_quota(path: str | Path, environ: Mapping[str, str] | None = None) -> int | None:
    """The bytes that a config lets its journal take, for looking at it; None if that part of the file is not right."""
    try:
        return _part(Path(path), JournalPart, environ).journal.quota
    except ConfigError:
        return None


def _part(path: Path, model: type[Part], environ: Mapping[str, str] | None) -> Part:
    found = Findings(str(path))
    tree = _without_empty(_read(path, found))
    kept = {name: node for name, node in tree.entries.items() if name in model.model_fields}
    environ = os.environ if environ is None else environ
    root = interpolated(replace(tree, entries=kept), path.absolute().parent, environ, found)
    part = validated(model, root, found) if isinstance(root, Branch) else None
    if part is None or found:
        raise found.error()
    return part


def _read(path: Path, found: Findings) -> Branch:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        found.add(Place(1, 1, ""), f"cannot read the file: {reason}; `scribe-export init` writes one to start from")
        raise found.error() from None
    tree = parse(raw, found)
    if tree is None:
        raise found.error()
    return tree


def _checked(path: Path, folder: Path, tree: Branch, found: Findings) -> Config | None:
    outer = validated(Outer, tree, found)
    check_providers(tree, found)
    entries = Entries(tree, found)
    sections = {name: branch(tree.entries.get(name)) for name in ("sources", "destinations")}
    sources = {
        name: entries.build("sources", node, name, SourceOptions)
        for name, node in (sections["sources"].entries if sections["sources"] else {}).items()
    }
    destinations = {
        name: entries.build("sinks", node, name, SinkOptions)
        for name, node in (sections["destinations"].entries if sections["destinations"] else {}).items()
    }
    scanner = entries.build("scanners", tree.entries.get("scanner"), "scanner", ScannerOptions)
    entries.check_connections()
    sound = {name: built for name, built in destinations.items() if built}
    check_places(sound, tree, found)
    check_claims(sound, tree, found)
    delivering = {name: built for name, built in sources.items() if built}
    check_requests(delivering, tree.entries.get("scanner"), tree, found)
    check_dead_letter(outer.dead_letter if outer else None, tree, found)
    if outer and outer.buffer == "none":
        check_buffer(delivering, scanner, tree, found)
    rules = compiled_rules(tree.entries.get("destinations"), found)
    if outer is None or found:
        return None
    return Config(
        path=path,
        folder=folder,
        state_folder=outer.under(folder),
        pipeline=outer.pipeline,
        assume_timezone=ZoneInfo(outer.assume_timezone),
        drain_timeout=outer.drain_timeout,
        buffer=outer.buffer,
        dead_letter=outer.dead_letter,
        http=parse_address(outer.http) if outer.http else None,
        journal=outer.journal,
        alerts=outer.alerts,
        sources=delivering,
        destinations=sound,
        scanner=scanner,
        rules=rules,
        places=places(tree),
    )


def _without_empty(tree: Branch) -> Branch:
    """A section whose entries are all commented out is the same as none."""
    kept = {
        name: node
        for name, node in tree.entries.items()
        if not (isinstance(node, Leaf) and node.value is None and not node.broken and name in _MAY_BE_EMPTY)
    }
    return replace(tree, entries=kept)


_MAY_BE_EMPTY = frozenset({"journal", "alerts", "connections", "defaults", "sources", "scanner"})
