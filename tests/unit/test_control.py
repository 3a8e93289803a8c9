"""The way into a running exporter."""

import stat
from pathlib import Path

import anyio
import pytest
from support.staged import staged

from scribe_export.control import SOCKET, reachable, serve


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
