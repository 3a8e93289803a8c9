"""Whether a file may do without a journal: who keeps what is not delivered yet, and what never can be."""

from collections.abc import Mapping

from scribe_export.config.result import Built
from scribe_export.config.tree import Branch, Findings, branch
from scribe_export.options import ScannerOptions, SourceOptions
from scribe_export.suggest import did_you_mean


def check_dead_letter(name: str | None, tree: Branch, found: Findings) -> None:
    """Dead letters go to a destination of this file that gets nothing else."""
    nodes = branch(tree.entries.get("destinations"))
    if name is None or nodes is None:
        return
    if name not in nodes.entries:
        place = tree.entries["dead_letter"].place
        found.add(place, f'no destination is called "{name}"' + did_you_mean(name, nodes.entries))
        return
    if len(nodes.entries) == 1:
        found.add(nodes.entries[name].key, "gets dead letters alone; add a destination for the scans")
    entry = branch(nodes.entries[name])
    if entry and "when" in entry.entries:
        found.add(entry.entries["when"].key, f"{name} gets dead letters and no scans, so it has no rule")


def check_buffer(
    sources: Mapping[str, Built[SourceOptions]], scanner: Built[ScannerOptions] | None, tree: Branch, found: Findings
) -> None:
    """With `buffer: none` each source keeps what was not acknowledged, and its queue what can never be delivered."""
    nodes = branch(tree.entries.get("sources"))
    for name, built in sources.items():
        place = nodes.entries[name].key if nodes else tree.key
        options = built.options
        if not options.acknowledging:
            found.add(
                place, "with buffer: none a source has to keep what is not delivered yet, and this one does not; "
                "leave buffer out, or read from SQS, Pub/Sub, RabbitMQ or a stream of Redis",
            )  # fmt: skip
        elif why := lost_letters(options, tree.entries.get("dead_letter")):
            found.add(place, f"with buffer: none {why}")
        if why := performed_again(options, scanner):
            found.add(place, f"with buffer: none {why}, or leave buffer out")


def lost_letters(options: SourceOptions, dead_letter: object) -> str:
    """What is wrong if nothing keeps what can never be delivered; empty if something does."""
    own_queue = getattr(options, "dead_letter_queue", False)
    if dead_letter or (own_queue and options.delivers == "scans"):
        return ""
    if own_queue:
        return (
            "the queue's own dead-letter queue would keep a request and not the scan that came of it: name a destination "
            "as dead_letter: at the top of the file"
        )
    return (
        "something has to keep what can never be delivered: name a destination as dead_letter: at the top of the file"
        + _own_queue(options)
    )


def performed_again(options: SourceOptions, scanner: Built[ScannerOptions] | None) -> str:
    """What is wrong if a crash would have a scan performed twice, and nobody allowed it; empty if it is right."""
    if options.delivers != "requests" or scanner is None or scanner.options.on_unknown == "retry":
        return ""
    return (
        "nobody remembers after a crash whether a request was performed, so it is performed again; if it may be, set "
        "scanner.on_unknown: retry"
    )


def _own_queue(options: SourceOptions) -> str:
    has_one = "dead_letter_queue" in type(options).model_fields and options.delivers == "scans"
    return ", or set dead_letter_queue: true here if the queue has one of its own" if has_one else ""
