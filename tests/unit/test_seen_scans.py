import random

import anyio
import msgspec
from support.source_run import Notebook

from scribe_connectors.scribe._listed import Entry
from scribe_connectors.scribe._seen import Seen, mark


def marks(numbers: range) -> list[str]:
    return [mark(Entry(number, msgspec.Raw(b'"2026"'))) for number in numbers]


def test_marks_tell_ids_and_times_apart_and_have_one_size() -> None:
    entries = [
        Entry(1),
        Entry(12),
        Entry("a" * 256),
        Entry("\u00e9"),
        Entry(1, msgspec.Raw(b"1")),
        Entry(1, msgspec.Raw(b"2")),
    ]
    assert len({mark(entry) for entry in entries}) == len(entries)
    assert {len(mark(entry)) for entry in entries} == {16}
    assert mark(Entry(1)) == mark(Entry("1"))


def test_the_last_scans_are_known_after_any_number_of_restarts_in_bounded_room() -> None:
    rng, notebook, given = random.Random(3), Notebook(), 0

    async def run() -> None:
        nonlocal given
        while given < 3000:
            seen = await Seen(500).load(notebook)
            assert seen.started is (given > 0)
            for _ in range(rng.randrange(1, 9)):
                count = rng.choice([0, 1, 3, 100, 250])
                note = seen.note(marks(range(given, given + count)), {})
                if rng.random() < 0.2:
                    continue  # nacked: nothing changes
                notebook.values |= {key: value for key, value in note.checkpoint.items() if value is not None}
                seen.apply(note)
                given += count
                assert all(marked in seen for marked in marks(range(max(0, given - 500), given)))
                assert not any(marked in seen for marked in marks(range(given, given + 5)))
                assert not any(marked in seen for marked in marks(range(max(0, given - 1000))))
        again = await Seen(500).load(notebook)
        assert all(marked in again for marked in marks(range(given - 500, given)))
        assert marks(range(1))[0] not in again

    anyio.run(run)
    assert len(notebook.values) <= 500 / 100 + 3
    assert max(map(len, notebook.values.values())) <= 1600


def test_what_was_passed_over_is_known_after_a_restart() -> None:
    async def run() -> None:
        notebook = Notebook()
        note = Seen(10).note([], {"m" * 16: 7, "n" * 16: "x"})
        notebook.values |= {key: value for key, value in note.checkpoint.items() if value is not None}
        assert (await Seen(10).load(notebook)).postponed == {"m" * 16: 7, "n" * 16: "x"}

    anyio.run(run)
