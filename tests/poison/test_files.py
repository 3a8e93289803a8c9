"""The corpus through files: the source, the journal, and every form in which files are written.

Every other source is tested to the journal and one sink, every other sink from the journal: what lies between them is the
same for all, and is tested here.
"""

from pathlib import Path

import pytest
from support.corpus import BOMBS, Mixed, names
from support.objects import contents
from support.pipeline import Pipeline
from support.poisoned import JOURNAL, check_frugal, check_held, check_letters, write_objects
from support.usage import ended

pytestmark = pytest.mark.fault("F-33")
FORMS = {
    "each": "each/{scan_id}.json",
    "lines": "lines/{batch_id}.{ext}",
    "zipped": "zipped/{batch_id}.{ext}",
    "days": "days/{timestamp:%Y-%m-%d}/{batch_id}.{ext}",
    "parquet": "parquet/{batch_id}.{ext}",
}
MORE = {"zipped": {"compression": "zstd"}, "parquet": {"format": "parquet"}}


def held(folder: Path) -> list[bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [body for path in files for body in contents(path.name, path.read_bytes())]


def test_the_corpus_goes_through_files_as_the_table_says(tmp_path: Path) -> None:
    mixed = Mixed(names())
    write_objects(tmp_path / "in", mixed)
    for name, bomb in BOMBS.items():
        (tmp_path / "in" / name).write_bytes(bomb())
    destinations = {
        name: {"type": "file", "directory": "./out", "key": key, "batch": {"max_records": 500}, **MORE.get(name, {})}
        for name, key in FORMS.items()
    }
    sources = {"in": {"type": "file", "path": "in/*", "max_record": "16MiB"}}
    with Pipeline(tmp_path, destinations, sources=sources, journal=JOURNAL) as pipeline:
        run = pipeline.start("--until-idle", "--max-wait", "100s")
        usage = ended(run, 110)
    assert usage.exit_code == 1, "something is dead"
    traits = {name: {"each": ["file"], "days": ["day"]}.get(name, []) for name in FORMS}
    check_letters(pipeline, mixed, traits)
    for name in FORMS:
        check_held(held(tmp_path / "out" / name), mixed.delivered(*traits[name]).values())
    assert {entry["origin"] for entry in run.said("passed over")} == BOMBS.keys()
    check_frugal(run, usage, mixed)
