"""A secret is in nothing that is printed, logged, kept or told, whatever goes wrong.

Every option of every connector that takes a secret is found in the models and filled with a canary, so that a new one is
covered by being there. The services that it is given to answer with errors that repeat whatever came to them.
"""

import json
import os
import re
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.command_line import scan
from support.front import Answer, Received
from support.least_entries import ENTRIES
from support.pipeline import Pipeline, Run
from support.receiver import Receiver
from support.secret_slots import Slot, merged, plain_texts, secret_slots

from scribe_export import config as configuration
from scribe_export.cli.main import main
from scribe_export.config import Built
from scribe_export.config.outer import Outer
from scribe_export.errors import ConfigError
from scribe_local.process import free_port

CANARY = "CANARY-7f3a9c-Zq81"
SLOTS = secret_slots()
SECTIONS = {"sinks": "destinations", "sources": "sources", "scanners": "scanner"}
NOT_SECRET = re.compile(
    r"(?x) (^|\.)( access_key_id | public_key | partition_key\..* | sort_key\..* | (ordering_|routing_|kms_)?key"
    r" | key_file | credentials_file | impersonate | scopes | quota_project | profile | assume_role\..* | authenticate )$"
)
"""Names that sound like secrets and are none: names of things, and of files that hold the secret themselves."""


def test_an_option_whose_name_sounds_secret_is_a_secret() -> None:
    sounding = re.compile(r"pass(word|phrase)|secret|token|api_?key|credential|private|(^|\.)auth\.|key$|key_file$")
    assert [
        f"{name}: {path}" for name, path in plain_texts() if sounding.search(path) and not NOT_SECRET.search(path)
    ] == []


@pytest.mark.parametrize("given", ["${CANARY}", "${file:secret.txt}", CANARY], ids=["variable", "file", "literal"])
@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_no_mistake_beside_a_secret_tells_it(
    slot: Slot, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    (tmp_path / "secret.txt").write_text(f"{CANARY}\n")
    said = ""
    misplaced = [{"timeout": given}, {"max_in_flight": given, "type": given}] if given != CANARY else []
    for damage in ({}, {"tiemout": "3s"}, *misplaced):
        document = with_slots([slot], given)
        entry = entry_of(document, slot)
        entry.update(damage)
        (tmp_path / "export.yaml").write_text(json.dumps(document))
        try:
            loaded = configuration.load(tmp_path / "export.yaml")
        except ConfigError as error:
            said += str(error)
        else:
            said += repr(loaded) + str(vars(loaded) if hasattr(loaded, "__dict__") else "")
            options: list[Built[Any]] = [*loaded.sources.values(), *loaded.destinations.values()]
            said += repr([built.options.model_dump() for built in options])
            said += repr([built.options.model_dump_json() for built in options])
    assert said
    assert CANARY not in said


def with_slots(slots: list[Slot], value: str, **reached: str) -> dict[str, Any]:
    """A config that names each connector of the slots, with `value` in each of them; `reached` has URLs by scheme."""
    document: dict[str, Any] = {
        "journal": {"quota": "128MiB"},
        "destinations": {"kept": {"type": "file", "directory": "./kept", "key": "kept/{scan_id}.json"}},
    }
    for slot in slots:
        if slot.kind == "top":
            document = slot.filled(
                document, f"{reached.get('http', 'http://127.0.0.1:9')}/{value}" if slot.path[-1] == "url" else value
            )
            continue
        least = ENTRIES.get(f"{slot.name} {slot.kind[:-1]}") or ENTRIES[slot.name]
        section = document.setdefault(SECTIONS[slot.kind], {})
        before = section if slot.kind == "scanners" else section.get(slot.name, {})
        entry = slot.filled(merged({"type": slot.name, **least, **places(slot.name, reached)}, before), value)
        if slot.kind == "scanners":
            document["scanner"] = entry
        else:
            section[slot.name] = entry
    for headers in [document.get("alerts", {}).get("webhook", {})]:
        if headers and "url" not in headers:
            headers["url"] = "http://127.0.0.1:9/hook"
    return document


def places(name: str, reached: dict[str, str]) -> dict[str, Any]:
    if not reached:
        return {}
    vendor = name.partition("_")[0]
    if vendor in {"aws", "gcp"}:
        return {"endpoint_url": reached["http"]}
    return {"url": reached.get(vendor, reached["http"])}


def entry_of(document: dict[str, Any], slot: Slot) -> dict[str, Any]:
    entry: dict[str, Any] = (
        document["alerts"]["webhook"]
        if slot.kind == "top"
        else document["scanner"]
        if slot.kind == "scanners"
        else document[SECTIONS[slot.kind]][slot.name]
    )
    return entry


class _Repeats(socketserver.StreamRequestHandler):
    """An error in the form of Redis, which has all that came."""

    def handle(self) -> None:
        while came := self.request.recv(65536):
            self.request.sendall(b"-ERR refused: " + came.replace(b"\r\n", b" ") + b"\r\n")


@pytest.fixture(scope="module")
def repeating() -> Iterator[dict[str, str]]:
    """URLs of servers that refuse everything and repeat what came."""

    def answer(came: Received) -> Answer:
        told = f"{came.method} {came.path} {dict(came.headers)} {came.body.decode('utf-8', 'replace')}"
        status = (403, 500, 400)[front.requests % 3]
        return Answer(status, json.dumps({"__type": "AccessDenied", "message": told, "error": told}).encode())

    with Receiver() as front, socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Repeats) as server:
        front._script = answer
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host = f"127.0.0.1:{server.server_address[1]}"
        yield {"http": front.url, "redis": f"redis://{host}/0", "rabbitmq": f"amqp://{host}"}
        server.shutdown()


def told_by(pipeline: Pipeline) -> dict[str, bytes]:
    """Every file of the pipeline's folder but the config and the file of the secret."""
    return {
        str(path.relative_to(pipeline.folder)): path.read_bytes()
        for path in pipeline.folder.rglob("*")
        if path.is_file() and path.name not in {"export.yaml", "secret.txt"}
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sinks", "sources", "scanners"])
def test_nothing_that_is_told_or_kept_has_a_secret_in_it(
    kind: str, repeating: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    slots = [slot for slot in SLOTS if slot.kind in {kind, "top"}]
    if kind == "scanners":
        slots = [slot for slot in slots if slot.kind == "top" or slot.name == "scribe_api"]
    with Receiver() as webhook:
        document = with_slots(slots, "${CANARY}", **repeating)
        document["alerts"]["webhook"]["url"] = webhook.url + "/${file:secret.txt}"
        document["alerts"].update(every="1s", held_for="1s")
        document["defaults"] = {"timeout": "2s", "retry": {"base_delay": "100ms"}}
        pages = f"127.0.0.1:{free_port()}" if Outer.model_fields["http"].annotation is not Any else ""
        document.update({"http": pages} if pages else {})
        (tmp_path / "it").mkdir()
        (tmp_path / "it" / "secret.txt").write_text(CANARY)
        (tmp_path / "it" / "scans.jsonl").write_text(f"{scan(1)}\n{scan(2)}\n{scan(1, more=True)}\nno scan\n")
        with Pipeline(tmp_path / "it", {}) as pipeline:
            pipeline.path.write_text(json.dumps({**document, "state_dir": str(tmp_path / "it" / "state")}))
            said = everything_said(pipeline, kind)
            run = pipeline.start("--log-level", "debug")
            run.ready()
            if kind == "sinks":
                run.wait_for("destination held", within=40)
            heard = alerts_of(webhook, run) + "".join(served(pages))
            run.kill()
            said += "".join(pipeline.call(words).stdout for words in ("status", "dlq list", "audit export", "trace"))
            for name, content in told_by(pipeline).items():
                assert CANARY.encode() not in content, name
            assert CANARY not in said
            assert CANARY not in heard
            assert pipeline.journal.stat().st_size > 0


def everything_said(pipeline: Pipeline, kind: str) -> str:
    """What the commands print, those that do not need a process of their own called here."""
    send = pipeline.call("send", str(pipeline.folder / "scans.jsonl"))
    reached = [pipeline.call("check", "--connect"), pipeline.call("health", "--timeout", "5s", "--json")]
    if kind == "scanners":
        reached.append(pipeline.call("scan"))
    assert all(ended.returncode for ended in reached), "the services let nobody in"
    here = [
        CliRunner().invoke(main, words)
        for words in (
            ["check", str(pipeline.path), "--json"],
            ["plan", str(pipeline.path), str(pipeline.folder / "scans.jsonl"), "--json"],
            ["trace", str(pipeline.path), "1"],
            ["dlq", "show", str(pipeline.path), "1"],
            ["schema"],
        )
    ]
    said = "".join(ended.stdout + ended.stderr for ended in [send, *reached])
    return said + "".join(ended.output + repr(ended.exception) for ended in here)


def served(address: str) -> Iterator[str]:
    """The pages of `http`, where it is an option that the file may have."""
    for path in ("/", "/status", "/metrics", "/livez", "/readyz") if address else ():
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
                yield answer.read().decode()
        except urllib.error.HTTPError as error:
            yield error.read().decode()


def alerts_of(webhook: Receiver, run: Run) -> str:
    """The bodies of the alerts; the address and the headers have the secret, as they should."""
    run.wait_for("alert raised", within=40)
    return "".join(came.body.decode() for came in webhook.received)
