"""What can only be seen by looking at several destinations at once: their rules and their places."""

from collections.abc import Mapping
from typing import Any

from scribe_export.config.result import Built
from scribe_export.config.tree import Branch, Findings, Leaf, Node, Place, branch, text_of
from scribe_export.options import SinkOptions, SourceOptions
from scribe_export.routing.rule import Rule, RuleMistake, compile_rule
from scribe_export.routing.rules import OTHERWISE, Rules
from scribe_export.suggest import did_you_mean


def check_places(destinations: Mapping[str, Built[SinkOptions]], tree: Branch, found: Findings) -> None:
    """No two destinations write the same names. Options that name a place have a method `place() -> str | None`."""
    taken: dict[str, str] = {}
    nodes = branch(tree.entries.get("destinations"))
    for name, built in destinations.items():
        place = getattr(built.options, "place", None)
        where: Any = place() if callable(place) else None
        if where is None:
            continue
        if where in taken:
            message = f"writes to the same place as destinations.{taken[where]}; give one of them another"
            found.add(nodes.entries[name].key if nodes else tree.key, message)
        taken.setdefault(where, name)


def check_claims(destinations: Mapping[str, Built[SinkOptions]], tree: Branch, found: Findings) -> None:
    """Claims are kept by a destination of this file whose store can hold them."""
    nodes = branch(tree.entries.get("destinations"))
    for name, built in destinations.items():
        store = built.options.oversize.destination
        if store is None or nodes is None:
            continue
        entry = branch(nodes.entries[name])
        oversize = branch(entry.entries.get("oversize")) if entry else None
        place = oversize.entries["destination"].place if oversize else nodes.entries[name].key
        if store not in nodes.entries:
            found.add(place, f'no destination is called "{store}"' + did_you_mean(store, nodes.entries))
        elif store == name:
            found.add(place, "a destination cannot keep what is too large for itself; name another")
        elif store in destinations and not hasattr(destinations[store].connector, "keep"):
            found.add(place, f"{store} cannot keep whole scans; name a bucket or a folder")


def check_requests(
    sources: Mapping[str, Built[SourceOptions]], scanner: Node | None, tree: Branch, found: Findings
) -> None:
    """Requests need somebody to perform them."""
    nodes = branch(tree.entries.get("sources"))
    for name, built in sources.items():
        if built.options.delivers == "requests" and scanner is None and nodes is not None:
            found.add(
                nodes.entries[name].key, "delivers requests, and there is no scanner to perform them; add `scanner:`"
            )


def compiled_rules(destinations: Node | None, found: Findings) -> Rules | None:
    """The rules of all destinations, or None if none has one; what is wrong with them goes into `found`."""
    rules: dict[str, Rule] = {}
    otherwise: list[tuple[str, Leaf]] = []
    any_rule = False
    for name, node in (destinations.entries if isinstance(destinations, Branch) else {}).items():
        entry = branch(node)
        leaf = entry.entries.get("when") if entry else None
        if leaf is None:
            continue
        text = text_of(leaf)
        if text is not None and isinstance(leaf, Leaf) and text.strip() == OTHERWISE:
            otherwise.append((name, leaf))
            continue
        any_rule = True
        if isinstance(leaf, Leaf) and leaf.value is None and not leaf.broken:
            found.add(leaf.place, "the rule is empty; leave `when` out to send every scan")
        if text is None or not isinstance(leaf, Leaf):
            continue
        try:
            rules[name] = compile_rule(text)
        except RuleMistake as mistake:
            # A message about a part of the rule could show a part of what was put in.
            what = f"is wrong with {leaf.references[0][0]} put in; it is not shown" if leaf.references else mistake
            found.add(_within(leaf, mistake), f"the rule {what}{_cut_short(leaf)}")
    if not any_rule:
        for _, leaf in otherwise:
            found.add(leaf.place, "otherwise means that no other rule matched, and no other destination has a rule")
    return Rules(rules, tuple(name for name, _ in otherwise)) if rules or otherwise else None


def _within(leaf: Leaf, mistake: RuleMistake) -> Place:
    place = leaf.place
    if mistake.line != 1 or leaf.style in {"|", ">"} or leaf.references:
        return place
    quote = 1 if leaf.style else 0
    return Place(place.line, place.column + quote + mistake.column - 1, place.path)


def _cut_short(leaf: Leaf) -> str:
    # Unquoted, YAML ends a value at " #" and takes a quote in its middle as it is.
    odd = isinstance(leaf.value, str) and leaf.value.count('"') % 2
    return "; put the rule in quotes, or YAML cuts it short at #" if not leaf.style and odd else ""
