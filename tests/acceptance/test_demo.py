"""`scribe-export demo`, run as a person would run it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support import demo_of, skipping_exporter
from support.missing import missing
from support.processes import alive, descendants

from scribe_local import servers
from scribe_local.cloud.cloud import NAMES
from scribe_local.demo.folder import MARKER
from scribe_local.process import ServerMissing

pytestmark = pytest.mark.timeout(300)
EVERYWHERE = [*NAMES, "files"]
DEMO = [sys.executable, "-m", "scribe_export", "demo"]


@pytest.fixture(autouse=True)
def _cloud(pytestconfig: pytest.Config) -> None:
    os.environ.setdefault(servers.CLOUD_ENVIRONMENT, str(pytestconfig.rootpath / ".venv-cloud"))


@pytest.fixture
def with_ministack() -> None:
    try:
        servers.find_ministack()
    except ServerMissing as error:
        missing(error)


@pytest.mark.usefixtures("with_ministack")
def test_every_scan_arrives_once_though_the_archive_goes_down_and_the_exporter_is_killed(tmp_path: Path) -> None:
    done = _run([*DEMO, "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["scans"] >= 150
    everything = {"delivered": result["scans"], "dead": 0, "lost": 0, "doubled": 0, "foreign": 0}
    may_repeat = {name: result["destinations"][name].pop("doubled") for name in ("act", "publish")}
    assert all(count <= 60 for count in may_repeat.values())  # no more than were in flight when it was killed
    for name, tally in result["destinations"].items():
        assert tally == {key: everything[key] for key in tally}, name
    assert list(result["destinations"]) == EVERYWHERE
    assert (result["lost"], result["doubled"], result["skipped"]) == (0, 0, {})
    assert result["restart_seconds"] < 30
    assert result["seconds"] < 200
    config = yaml.safe_load((tmp_path / "demo/export.yaml").read_text())
    assert list(config["destinations"]) == EVERYWHERE
    status = [sys.executable, "-m", "scribe_export", "status", "demo/export.yaml", "--json"]
    assert json.loads(_run(status, tmp_path).stdout)["scans"] == result["scans"]


@pytest.mark.slow
@pytest.mark.usefixtures("with_ministack")
def test_an_exporter_that_skips_three_scans_is_found_out(tmp_path: Path) -> None:
    done = _run([sys.executable, demo_of.__file__, skipping_exporter.__file__], tmp_path)
    assert done.returncode == 1
    assert "lost: 3   doubled: 0" in done.stdout, done.stdout + done.stderr
    assert "7. What became of one scan?" in done.stdout


@pytest.mark.slow
def test_without_ministack_what_needs_it_is_left_out_by_name(tmp_path: Path) -> None:
    # A copy of the package, away from the repository's own environments.
    away = tmp_path / "one/two/three"
    shutil.copytree(Path(servers.__file__).parent, away / "scribe_local")
    environment = {
        "PATH": "/nowhere",
        "PYTHONPATH": os.pathsep.join((str(away), os.environ.get("PYTHONPATH", ""))),
        servers.CLOUD_ENVIRONMENT: str(tmp_path),
    }
    done = _run([*DEMO, "--json"], tmp_path, environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result["destinations"]) == ["lake", "publish", "warehouse", "files"]
    assert result["destinations"]["files"]["delivered"] == result["scans"] > 50
    assert list(result["skipped"]) == ["archive", "announce", "index", "act"]
    assert "ministack, which stands in for AWS, is not installed" in result["skipped"]["archive"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("which", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_ends_everything_that_it_started(tmp_path: Path, which: signal.Signals) -> None:
    with subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while "Ready after" not in (line := demo.stdout.readline()):
            assert line, demo.communicate()[1]
        started = descendants(demo.pid)
        assert any("scribe_export run" in line for line in started.values()), started
        assert any("scribe_local.simulator" in line for line in started.values()), started
        demo.send_signal(which)
        _, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert err == "Error: stopped; nothing that the demo started runs any more\n"
    until = time.monotonic() + 5
    while any(map(alive, started)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [line for process, line in started.items() if alive(process)]


def test_a_failing_exporter_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no journal today')")
    done = _run([sys.executable, demo_of.__file__, str(broken), "--json"], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "Error: the demo failed: the exporter ended with exit code 1; the end of demo/exporter"
    )
    assert done.stderr.endswith("no journal today\n")


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "demo/thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    done = _run(DEMO, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: the demo failed: {mine.parent} is there already and no demo made it: rename")
    assert [path.name for path in mine.parent.iterdir()] == ["thesis.txt"]
    assert not (mine.parent / MARKER).exists()


def _run(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    settings = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=280, check=False)
