"""The way into a running exporter."""

import stat
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from support.staged import staged

from scribe_export import control
from scribe_export.control import OPERATIONS, SOCKET, ask, reachable, serve
from scribe_export.errors import ScribeExportError


async def answers(path: Path) -> bool:
    try:
        with reachable(path) as address:
            await (await anyio.connect_unix(address)).aclose()
    except OSError:
        return False
    return True


def test_the_socket_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, anyio.create_task_group() as tasks:
            tasks.start_soon(serve, stage.exporter)
            path = stage.exporter.config.state_folder / SOCKET
            with anyio.fail_after(20):
                while not await answers(path):  # noqa: ASYNC110 - the socket rings no bell
                    await anyio.sleep(0.01)
            mode = path.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert mode & 0o077 == 0
            assert path.parent.stat().st_mode & 0o077 == 0
            tasks.cancel_scope.cancel()
        assert not path.exists()

    anyio.run(scenario)


def unchecked(line: bytes) -> tuple[str, dict[str, Any]]:
    """As releases before this one read a request."""
    request = msgspec.json.decode(line)
    return request.pop("op"), request


@pytest.mark.parametrize("older", [True, False])
def test_a_running_exporter_of_a_release_without_the_command_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    async def scenario() -> None:
        async with staged(tmp_path, monkeypatch, {"a": {}}) as stage, anyio.create_task_group() as tasks:
            tasks.start_soon(serve, stage.exporter)
            folder = stage.exporter.config.state_folder
            with anyio.fail_after(20):
                while not await answers(folder / SOCKET):  # noqa: ASYNC110 - the socket rings no bell
                    await anyio.sleep(0.01)
            monkeypatch.delitem(OPERATIONS, "pause")
            if older:
                monkeypatch.setattr(control, "parsed", unchecked)
            with pytest.raises(ScribeExportError, match=r"of another release"):
                await anyio.to_thread.run_sync(ask, folder, "pause", {"destination": "a", "paused": True})
            tasks.cancel_scope.cancel()

    anyio.run(scenario)
