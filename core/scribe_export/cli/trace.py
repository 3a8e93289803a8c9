"""`trace`: what became of one scan."""

from dataclasses import asdict
from pathlib import Path

import click

from scribe_export import config as configuration
from scribe_export.cli.printable import printable
from scribe_export.cli.shared import config_argument, json_option, print_json
from scribe_export.journal.looking import Step, Trace, trace_at


@click.command(short_help="Tell what became of one scan.")
@config_argument
@click.argument("scan_id")
@json_option
def command(config: Path, scan_id: str, *, as_json: bool) -> None:
    """Tell when SCAN_ID came, from where, and what became of it at each destination."""
    loaded = configuration.load(config)
    traces = trace_at(loaded, scan_id)
    if not traces:
        raise click.ClickException(f"scan {scan_id} is not known here; the journal remembers for journal.history")
    if as_json:
        print_json({"scan_id": scan_id, "versions": [asdict(trace) for trace in traces]})
        return
    for trace in traces:
        _print(trace)


def _print(trace: Trace) -> None:
    version = f", version {trace.version}" if trace.version > 1 else ""
    click.echo(f"scan {printable(trace.scan_id)}{version}: journalled {trace.journalled} from {trace.source or '-'}")
    click.echo(f"  number {trace.seq}, {trace.size} bytes, sha256 {trace.sha256}")
    for step in trace.steps:
        click.echo(f"  {step.destination}: {step.state}{' ' + step.when if step.when else ''}{_detail(step)}")


def _detail(step: Step) -> str:
    return f" ({printable(step.detail)})" if step.detail else ""
