"""The guide's code, run as a reader would."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "own-sink.md"
FILES = re.compile(r"`(\w+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)


def run(folder: Path, code: dict[str, str], *chosen: str) -> subprocess.CompletedProcess[str]:
    for name, text in code.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *chosen, str(folder)]
    paths = os.pathsep.join(path for path in [str(folder), *sys.path] if path)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_the_guides_sink_passes_the_guides_test(tmp_path: Path) -> None:
    code = dict(FILES.findall(GUIDE.read_text()))
    assert set(code) == {"sqlite_sink.py", "test_sqlite_sink.py"}
    ran = run(tmp_path, code)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = ran.stdout.count("PASSED test_sqlite_sink.py")
    assert passed >= 15, ran.stdout
    assert "SKIPPED" in ran.stdout


def test_the_guides_test_catches_the_sink_without_its_primary_key(tmp_path: Path) -> None:
    code = dict(FILES.findall(GUIDE.read_text()))
    broken = code["sqlite_sink.py"].replace("PRIMARY KEY", "").replace("OR IGNORE ", "")
    assert broken != code["sqlite_sink.py"]
    ran = run(tmp_path, {**code, "sqlite_sink.py": broken}, "-k", "repeated")
    assert ran.returncode == 1
    assert "test_a_repeated_batch_has_the_declared_effect" in ran.stdout


def test_the_sink_has_no_more_than_thirty_lines_of_its_own() -> None:
    code = dict(FILES.findall(GUIDE.read_text()))["sqlite_sink.py"]
    own = [line for line in code[code.index("class ") :].splitlines() if line.strip()]
    assert len(own) <= 30


def test_the_guides_entry_point_is_toml() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    points = tomllib.loads(text)["project"]["entry-points"]["scribe_export.sinks"]
    assert points == {"sqlite": "sqlite_sink:SqliteSink"}
