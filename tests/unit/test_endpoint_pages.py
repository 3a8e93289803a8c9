"""What the probes say of an exporter, and what is shown when the journal is slow or a page has a fault."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.filed import FILES
from support.pipeline import Pipeline
from support.scrape import Scrape, Site, families
from support.staged import Stage, staged

from scribe_export import exporter as exporting
from scribe_export.endpoint import pages as endpoint_pages
from scribe_export.endpoint import reading
from scribe_export.endpoint.address import Address
from scribe_export.endpoint.pages import Pages
from scribe_export.endpoint.reading import Reader
from scribe_export.endpoint.server import Server, listen, places
from scribe_export.endpoint.serving import serving
from scribe_export.endpoint.wire import Request
from scribe_export.errors import JournalUnusable, Transient
from scribe_export.exporter import Exporter
from scribe_export.journal import glance as journal_glance
from scribe_export.journal import unsealed as journal_unsealed
from scribe_export.journal.opening import OpenJournal, open_journal
from scribe_local.process import free_port


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Pages]:
    async with anyio.create_task_group() as tasks:
        pages = Pages()
        pages.opened(stage.exporter, Reader(stage.exporter, tasks, started=0.0))
        yield pages
        tasks.cancel_scope.cancel()


async def asked(pages: Pages, path: str) -> tuple[int, str]:
    answer = await pages.answer(Request("GET", path, {}))
    return int(answer.status), answer.text


async def scraped(pages: Pages) -> Scrape:
    status, text = await asked(pages, "/metrics")
    assert status == 200, text
    return Scrape(families(text))


def test_it_lives_and_is_not_ready_until_the_exporter_works_and_when_it_does_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, opened(stage) as pages:
            starting = Pages()
            assert await asked(starting, "/livez") == (200, "ok\n")
            assert await asked(starting, "/readyz") == (503, "the exporter is starting\n")
            for path in ("/metrics", "/status", "/"):
                assert (await asked(starting, path))[0] == 503
            assert await asked(pages, "/readyz") == (200, "ok\n")
            stage.exporter.stop()
            assert await asked(pages, "/readyz") == (503, "the exporter is stopping\n")
            assert await asked(pages, "/livez") == (200, "ok\n")
            assert (await scraped(pages)).value("ready") == 0
            pages.closed()
            assert await asked(pages, "/readyz") == (503, "the exporter has stopped\n")

    anyio.run(scenario)


def test_only_an_unusable_journal_makes_it_unready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, opened(stage) as pages:
            stage.sink("a").chances = {"misconfigured": 1.0}
            await stage.give(1, 5)
            await stage.clock.advance(600.0)
            database = stage.exporter.store.database
            database.quota = 1
            seen = await scraped(pages)
            assert (seen.value("misconfigured", destination="a"), seen.value("journal_full")) == (1, 1)
            assert await asked(pages, "/readyz") == (200, "ok\n")
            database.quota = 2**30
            stage.exporter.store.failure = JournalUnusable("the outcome of a commit is unknown")
            assert await asked(pages, "/readyz") == (503, "the journal is unusable; the log says why\n")
            stage.exporter.store.failure = None

    anyio.run(scenario)


def test_a_store_whose_thread_ended_is_no_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, opened(stage) as pages:
            monkeypatch.setattr(type(stage.exporter.store), "alive", False)
            assert (await asked(pages, "/livez"))[0] == 503
            assert (await asked(pages, "/readyz"))[0] == 503

    anyio.run(scenario)


def test_a_slow_journal_is_shown_as_it_was_and_read_once_for_all_who_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    monkeypatch.setattr(reading, "SPARING", 0.0)
    looks: list[int] = []
    look = journal_glance.Glancer.look

    def counted(self: journal_glance.Glancer, *arguments: object) -> object:
        looks.append(1)
        return look(self, *arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(journal_glance.Glancer, "look", counted)

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, opened(stage) as pages:
            hindered = threading.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage.exporter.store.do, lambda _: hindered.wait(30))
                await anyio.lowlevel.checkpoint()
                assert await asked(pages, "/metrics") == (503, "the journal has not been read yet\n")
                hindered.set()
            assert (await scraped(pages)).value("journal_scans_total") == 0
            looks.clear()
            hindered.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage.exporter.store.do, lambda _: hindered.wait(30))
                await anyio.lowlevel.checkpoint()
                found: list[float] = []

                async def scrape() -> None:
                    found.append((await scraped(pages)).value("journal_read_age_seconds"))

                async with anyio.create_task_group() as scrapers:
                    for _ in range(5):
                        scrapers.start_soon(scrape)
                assert min(found) >= 0.05
                hindered.set()
            assert len(found) == 5
            await scraped(pages)
            assert len(looks) <= 2

    anyio.run(scenario)


def test_an_answer_serves_for_many_times_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage:
            monkeypatch.setattr(reading, "SPARING", 1e9)
            async with opened(stage) as sparing:
                assert (await scraped(sparing)).value("journal_scans_total") == 0
                await stage.give(1, 5)
                assert (await scraped(sparing)).value("journal_scans_total") == 0
                sparing._kept.clear()
                assert (await scraped(sparing)).value("journal_scans_total") == 0
            monkeypatch.setattr(reading, "SPARING", 0.0)
            async with opened(stage) as wasteful:
                assert (await scraped(wasteful)).value("journal_scans_total") == 5
                await stage.give(6, 7)
                assert (await scraped(wasteful)).value("journal_scans_total") == 7

    anyio.run(scenario)


def test_what_waits_for_a_destination_that_was_never_reached_is_counted_in_slices_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_unsealed, "SLICE", 10)
    monkeypatch.setattr(reading, "SPARING", 0.0)

    async def unreachable() -> None:
        raise Transient("nobody answers")

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"never": {}, "a": {}}) as stage, opened(stage) as pages:
            connection = stage.exporter.store.database.connection
            monkeypatch.setattr(stage.sink("never"), "open", unreachable)
            queries: list[str] = []

            async def counted() -> tuple[float, int]:
                queries.clear()
                connection.set_trace_callback(queries.append)
                seen = await scraped(pages)
                connection.set_trace_callback(None)
                return seen.value("pending_scans", destination="never"), sum(
                    "GROUP BY routes" in one for one in queries
                )

            await stage.give(1, 95)
            await stage.clock.advance(60.0)
            pending, slices = await counted()
            assert pending == 95
            assert 10 <= slices <= 11
            assert await counted() == (95, 0)
            await stage.give(96, 98)
            assert await counted() == (98, 1)

    anyio.run(scenario)


def test_a_destination_that_left_the_config_is_shown_with_its_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        both = {"stays": {}, "left": {"batch": {"max_age": "1h"}}}
        async with staged(tmp_path, monkeypatch, both) as stage:
            stage.sink("left").chances = {"misconfigured": 1.0}
            await stage.clock.advance(1.0)
            await stage.give(1, 7)
        async with staged(tmp_path, monkeypatch, {"stays": {}}) as stage, opened(stage) as pages:
            seen = await scraped(pages)
            assert (seen.value("orphaned", destination="left"), seen.value("orphaned", destination="stays")) == (1, 0)
            assert seen.value("pending_scans", destination="left") == 7
            assert seen.value("pending_bytes", destination="left") > 7 * 100
            assert seen.value("oldest_pending_age_seconds", destination="left") >= 0
            assert "left (not in the config)" in (await asked(pages, "/"))[1]

    anyio.run(scenario)


def test_a_page_with_a_fault_is_500_and_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, opened(stage) as pages:
            monkeypatch.setattr(endpoint_pages, "page", broken)
            listeners = await listen(Address("127.0.0.1", 0))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Server(pages.answer).run, listeners)
                host, port = places(listeners)[0]
                answers = []
                for path in (b"/", b"/livez"):
                    async with await anyio.connect_tcp(host, port) as stream:
                        await stream.send(b"GET %b HTTP/1.1\r\n\r\n" % path)
                        answers.append((await stream.receive())[:13])
                assert answers == [b"HTTP/1.1 500 ", b"HTTP/1.1 200 "]
                tasks.cancel_scope.cancel()
            for listener in listeners:
                await listener.aclose()
            await stage.give(1, 1)
            await stage.clock.advance(60.0)
            assert stage.sink("a").held == ["1"]

    anyio.run(scenario)
    assert "page failed" in capsys.readouterr().out


def test_it_lives_while_a_journal_takes_long_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, going_on = threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> OpenJournal:
        opening.set()
        assert going_on.wait(30)
        return open_journal(*arguments, **options)

    monkeypatch.setattr(exporting, "open_journal", slow)
    port = free_port()
    config = Pipeline(tmp_path / "it", FILES, http=f"127.0.0.1:{port}").load()
    assert config.http is not None
    site = Site("127.0.0.1", port)
    answers: list[tuple[int, str]] = []

    def ask() -> None:
        try:
            assert opening.wait(30)
            answers.extend((page.status, page.text) for page in (site.get("/livez"), site.get("/readyz")))
        finally:
            going_on.set()

    async def scenario() -> None:
        asker = threading.Thread(target=ask)
        asker.start()
        assert config.http is not None
        async with serving(config, config.http) as opened_with, Exporter(config) as exporter:
            opened_with(exporter)
            assert (await anyio.to_thread.run_sync(site.get, "/readyz")).status == 200
        asker.join()

    anyio.run(scenario)
    assert answers == [(200, "ok\n"), (503, "the exporter is starting\n")]
