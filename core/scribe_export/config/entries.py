"""Sources, destinations and the scanner: each merged with what it inherits and checked by its connector."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from scribe_export.config.result import Built
from scribe_export.config.secrecy import scrubbed
from scribe_export.config.tree import Branch, Findings, Leaf, Node, branch, text_of
from scribe_export.config.validate import options_of, validated
from scribe_export.errors import ConnectorUnavailable
from scribe_export.interface import Connector
from scribe_export.options import Options
from scribe_export.registry import Kind, find
from scribe_export.suggest import did_you_mean

AnyOptions = TypeVar("AnyOptions", bound=Options)
_NO_BRANCH: Mapping[str, Node] = {}


@dataclass(slots=True)
class Entries:
    """Builds the entries of one file; `tree` is its root, `found` collects the mistakes."""

    tree: Branch
    found: Findings
    _known: dict[str, set[str]] = field(default_factory=dict)

    def build(self, kind: Kind, node: Node | None, name: str, of: type[AnyOptions]) -> Built[AnyOptions] | None:
        """One entry, or None with what is wrong in `found`."""
        entry = branch(node)
        if entry is None:
            return None
        connector = self._connector(kind, entry)
        shared = self._connection(entry, connector)
        if connector is None:
            return None
        model = connector.options_type
        merged = replace(entry, entries=self._merged(entry, shared, set(options_of(model)) - {"type", "connection"}))
        options = validated(model, merged, self.found)
        if options is None:
            return None
        if not isinstance(options, of):
            self.found.add(entry.entries["type"].place, f"its options are no {of.__name__}; the connector is at fault")
            return None
        return Built(name, connector, options)

    def check_connections(self) -> None:
        """Complain of what stands under a connection and no user of it knows; call after every `build`."""
        for name, node in _entries(self.tree.entries.get("connections")):
            if name not in self._known or not isinstance(node, Branch):
                continue
            for option, value in node.entries.items():
                if option != "provider" and option not in self._known[name]:
                    hint = did_you_mean(option, self._known[name])
                    self.found.add(value.key, "unknown option" + hint)

    def _connector(self, kind: Kind, entry: Branch) -> type[Connector[Any]] | None:
        node = entry.entries.get("type")
        if node is None:
            self.found.add(entry.key, f"is required: {_which(kind)}", path=f"{entry.key.path}.type")
            return None
        name = text_of(node)
        if name is None:
            if not (isinstance(node, Leaf) and node.broken):
                self.found.add(node.place, f"must be {_which(kind)}")
            return None
        try:
            return find(kind, name)
        except ConnectorUnavailable as error:
            self.found.add(node.place, scrubbed(str(error), _references(node)))
            return None

    def _connection(self, entry: Branch, connector: type[Connector[Any]] | None) -> Branch | None:
        node = entry.entries.get("connection")
        name = text_of(node)
        if node is None or name is None:
            return None
        connections = dict(_entries(self.tree.entries.get("connections")))
        if name not in connections:
            message = f'unknown connection "{name}"' + did_you_mean(name, connections)
            self.found.add(node.place, scrubbed(message, _references(node)))
            return None
        shared = branch(connections[name])
        provider = text_of(shared.entries.get("provider")) if shared else None
        if connector is None or shared is None or provider is None:
            return None
        model = connector.options_type
        kind = text_of(entry.entries.get("type"))
        if model.provider is None:
            self.found.add(node.place, f"{kind} takes no connection")
        elif model.provider != provider:
            self.found.add(node.place, f"{kind} needs a connection to {model.provider}, and {name} is to {provider}")
        else:
            self._known.setdefault(name, set()).update(set(options_of(model)) - _OWN)
            return shared
        return None

    def _merged(self, entry: Branch, shared: Branch | None, known: set[str]) -> dict[str, Node]:
        merged = {name: node for name, node in _entries(self.tree.entries.get("defaults")) if name in known}
        if shared:
            merged |= {name: node for name, node in shared.entries.items() if name in known and name not in _OWN}
        for name, node in entry.entries.items():
            inherited = merged.get(name)
            if name in _DEEP and isinstance(node, Branch) and isinstance(inherited, Branch):
                merged[name] = replace(node, entries={**inherited.entries, **node.entries})
            else:
                merged[name] = node
        return merged


_OWN = frozenset({"type", "connection", "when", "provider"})
_DEEP = frozenset({"retry", "breaker"})


def check_providers(tree: Branch, found: Findings) -> None:
    """Every connection says what it connects to."""
    for _, node in _entries(tree.entries.get("connections")):
        if not isinstance(node, Branch):
            continue
        provider = node.entries.get("provider")
        if provider is None:
            found.add(node.key, "is required: what this connects to, like aws", path=f"{node.key.path}.provider")
        elif text_of(provider) is None and not (isinstance(provider, Leaf) and provider.broken):
            found.add(provider.place, "must be text, like aws")


def _entries(node: Node | None) -> Iterable[tuple[str, Node]]:
    return (node.entries if isinstance(node, Branch) else _NO_BRANCH).items()


def _references(node: Node) -> list[str]:
    return [value for _, value in node.references] if isinstance(node, Leaf) else []


def _which(kind: Kind) -> str:
    return f"the name of a {kind[:-1]}; `scribe-export connectors` lists them"
