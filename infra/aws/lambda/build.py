"""Builds the function's zip: a config, scribe-export and what it needs. The same inputs give the same bytes.

    python infra/aws/lambda/build.py --config export.yaml

Needs Python with pip and nothing else. What is installed is what `requirements/lambda.lock` says, hashes included, for
the runtime that `--python` and `--architecture` name; the machine that builds may be another.
"""

import argparse
import compileall
import hashlib
import py_compile
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements" / "lambda.lock"
ARCHITECTURES = {"x86_64": "x86_64", "arm64": "aarch64"}

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (seen 2026-11-24)
MAX_UNZIPPED = 250 * 2**20
MAX_UPLOADED = 50 * 2**20

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
# Of pyarrow, what no Parquet file needs.
_UNNEEDED = re.compile(
    r"bin/.*|pyarrow/(include|tests|src)/.*|pyarrow/(libarrow_(flight|substrait)|_flight|_substrait).*"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build it and say how large it is."""
    given = _options().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        installed = _installed(given)
        if given.dependencies:
            return 0
        own = Path(scratch) / "own"
        with zipfile.ZipFile(given.wheel or _wheel(Path(scratch))) as wheel:
            wheel.extractall(own)
        _compile(own, given.python)
        (own / "export.yaml").write_bytes(given.config.read_bytes())
        given.output.parent.mkdir(parents=True, exist_ok=True)
        unzipped = _write(given.output, own, installed)
    size = given.output.stat().st_size
    print(f"{given.output}: {size / 2**20:.1f} MiB, {unzipped / 2**20:.1f} MiB unzipped")
    if unzipped > MAX_UNZIPPED:
        print(f"too large for Lambda, which takes {MAX_UNZIPPED / 2**20:.0f} MiB unzipped", file=sys.stderr)
        return 1
    if size > MAX_UPLOADED:
        print(f"upload it by S3: above {MAX_UPLOADED / 2**20:.0f} MiB Lambda takes no direct upload")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the zip of the function.")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "infra/aws/lambda/export.yaml", help="becomes export.yaml"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "scribe-export-lambda.zip")
    parser.add_argument("--python", default="3.13", help="version of the runtime (default: 3.13)")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="x86_64")
    parser.add_argument("--parquet", action="store_true", help="for a config that writes or reads Parquet")
    parser.add_argument("--wheel", type=Path, help="of scribe-export; built from this checkout if left out")
    parser.add_argument("--dependencies", action="store_true", help="fetch what the zip needs, and build none")
    return parser


def _installed(given: argparse.Namespace) -> Path:
    """A folder with all dependencies, kept under the name of what it was made of."""
    lock = LOCK.read_text("utf-8")
    if not given.parquet:
        lock = re.sub(r"^pyarrow==.*?(?=^[a-z])", "", lock, flags=re.MULTILINE | re.DOTALL)
    made_of = f"{sys.version_info[:3]} {given.python} {given.architecture}\n{lock}"
    folder = ROOT / "build" / "lambda" / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(lock, "utf-8")
        target = Path(scratch) / "target"
        wanted = ["--python-version", given.python, *_platforms(ARCHITECTURES[given.architecture], given.python)]
        settings = ["--no-deps", "--require-hashes", "--no-compile", "--only-binary=:all:", *wanted]
        subprocess.run([*_PIP, "install", "--target", target, *settings, "-r", requirements], check=True)
        _compile(target, given.python)
        if not folder.is_dir():  # another build may have been faster
            target.rename(folder)
    return folder


def _platforms(machine: str, python: str) -> list[str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html: glibc 2.34, and 2.26 up to Python 3.11."""
    old = ["manylinux_2_17", "manylinux2014"]
    new = [] if python in ("3.10", "3.11") else ["manylinux_2_34", "manylinux_2_28"]
    return [option for tag in (*new, *old) for option in ("--platform", f"{tag}_{machine}")]


def _wheel(folder: Path) -> Path:
    subprocess.run([*_PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _compile(folder: Path, python: str) -> None:
    """A function cannot keep what it compiles, and would at each start. Only a Python of that version can do it here."""
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # What a package brings for other versions of Python does not compile, and is not imported either.
    compileall.compile_dir(folder, quiet=2, stripdir=str(folder), prependdir="/var/task", invalidation_mode=mode)


def _write(output: Path, *folders: Path) -> int:
    """The zip of what is in the folders; how many bytes it has unzipped."""
    found = {name: path for folder in folders for name, path in _files(folder)}
    unzipped = 0
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as zipped:
        for name, path in sorted(found.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.compress_type = _PLAIN_FILE, zipfile.ZIP_DEFLATED
            zipped.writestr(entry, path.read_bytes())
            unzipped += path.stat().st_size
    return unzipped


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _UNNEEDED.fullmatch(name):
            yield name, path


if __name__ == "__main__":
    sys.exit(main())
