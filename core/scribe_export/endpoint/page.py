"""The status page: one self-contained document without scripts, of which everything that varies is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from scribe_export.cli.printable import printable
from scribe_export.endpoint.of_the_journal import release
from scribe_export.endpoint.snapshot import DestinationView, Snapshot, SourceView
from scribe_export.sizes import shown_size

REFRESH_SECONDS = 5
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
_LENGTH = 200
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; margin: 0.5em 0 2em; }
th, td { text-align: left; padding: 0.3em 0.8em 0.3em 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #a40000; font-weight: 600; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } .bad { color: #ff8a80; } }
"""


def page(snapshot: Snapshot) -> str:
    """The document."""
    journal = snapshot.journal
    share = f"{journal.used / journal.quota:.0%} of {shown_size(journal.quota)}"
    name = _text(snapshot.pipeline)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="{REFRESH_SECONDS}">
<meta name="viewport" content="width=device-width">
<title>{name}: scribe-export</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{name}</h1>
<p>scribe-export {escape(release())}, {"ready" if snapshot.ready else _bad("stopping")}. Journal:
{shown_size(journal.used)}, {share}{", " + _bad(_text(journal.full) + ": sources pause") if journal.full else ""}.
{journal.scans} scans journalled, {journal.duplicates} duplicates, {journal.conflicts} conflicts,
{journal.unrouted} unrouted, {journal.unplaced} bodies that were no scans.</p>
<h2>Destinations</h2>
{_table(_DESTINATION_TITLES, map(_destination, snapshot.destinations))}
<h2>Sources</h2>
{_table(_SOURCE_TITLES, map(_source, snapshot.sources))}
</body>
</html>
"""


_DESTINATION_TITLES = ("destination", "#pending", "#delivered", "#dead", "breaker", "#oldest pending", "last error")
_SOURCE_TITLES = ("source", "state", "#taken", "#last taken", "reason")


def _destination(view: DestinationView) -> Sequence[str]:
    kept = view.kept
    notes = [note for note, holds in (("not in the config", kept.state != "active"), ("paused", kept.paused)) if holds]
    held = view.misconfigured or view.breaker != "closed"
    return (
        _text(kept.name) + (f" ({', '.join(notes)})" if notes else ""),
        str(view.pending),
        str(kept.delivered),
        _bad(str(kept.dead)) if kept.dead else "0",
        _bad(_text(view.breaker)) if held else _text(view.breaker),
        "-" if kept.oldest is None else f"{kept.oldest:.0f} s",
        _text(kept.last_error),
    )


def _source(view: SourceView) -> Sequence[str]:
    state = view.state
    ago = state.last_taken_seconds
    return (
        _text(state.name),
        _bad(state.state) if state.state in {"held", "stopped"} else state.state,
        str(state.taken),
        "-" if ago is None else f"{ago:.0f} s ago",
        _text(state.reason),
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Titles with # stand above numbers; the cells are HTML already."""
    classes = [' class="number"' if title.startswith("#") else "" for title in titles]
    head = "".join(f"<th{kind}>{title.removeprefix('#')}</th>" for title, kind in zip(titles, classes, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _text(text: str) -> str:
    return escape(printable(text[:_LENGTH])) or "-"


def _bad(html: str) -> str:
    return f'<span class="bad">{html}</span>'
