import gzip
import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError
from support.loop import in_loop
from support.records import body, record, sealed, write
from support.shelf import Shelf, ShelfError

from scribe_export.errors import Conflict, Misconfigured, PartialFailure, Rejected, Throttled, Transient
from scribe_export.model import EffectClass

BATCHED = "lake/m={material}/{batch_id}.{ext}"


def test_the_key_decides_the_layout() -> None:
    per_scan, batched = Shelf(), Shelf(key=BATCHED)
    assert (per_scan.identity, per_scan.effect.kind) == ("record", EffectClass.EXACT)
    assert (batched.identity, batched.effect.kind) == ("batch", EffectClass.EXACT_PER_BATCH)
    assert per_scan.partition(record(1)) == ""
    assert batched.partition(record(1)) == "lake/m=oak/{batch_id}.jsonl"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "{scan_id}"}, "fixed prefix"),
        ({"format": "jsonl"}, "goes with"),
        ({"key": BATCHED, "format": "json"}, "goes with"),
        ({"compression": "zstd"}, "ends in"),
        ({"key": "s/{scan_id}.json.gz"}, "ends in"),
        ({"key": "s/{scan_id}.json.gz", "compression": "zstd"}, "ends in"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Shelf(**options)


@in_loop
async def test_a_scan_is_stored_byte_for_byte_under_its_name() -> None:
    shelf = Shelf()
    assert await write(shelf, [record(1), record(2)]) == "2 created"
    _, data, metadata = shelf.held["scans/1.json"]
    assert data == record(1).body
    assert metadata["scribe-sha256"] == record(1).sha256
    assert "scribe-fields" not in metadata


@in_loop
async def test_a_batch_is_stored_as_lines_and_answers_with_its_tag() -> None:
    shelf = Shelf(key=BATCHED, compression="gzip")
    indented = record(2, json.dumps(json.loads(body(2)), indent=1).encode())
    answer = await write(shelf, [record(1), indented])
    [(key, (tag, data, metadata))] = shelf.held.items()
    assert key.endswith(".jsonl.gz")
    assert answer == tag
    first, second = gzip.decompress(data).splitlines()
    assert first == record(1).body
    assert json.loads(second)["scan_id"] == 2
    assert metadata["scribe-digest"]


def test_the_same_batch_gives_the_same_bytes_whatever_the_options_say_by_then() -> None:
    records = [record(1), record(2)]
    batch = sealed(Shelf(key=BATCHED, fields={"exclude": ["config"]}), records)
    first = Shelf(key=BATCHED).encode(batch)
    second = Shelf(key="elsewhere/{scan_id}.json", compression="none").encode(batch)
    assert first.payload == second.payload
    assert b"config" not in first.payload[0].data
    assert first.payload[0].metadata["scribe-fields"] == "1"


def test_records_that_can_never_be_stored_are_named_before_the_write() -> None:
    shelf = Shelf(key="s/{timestamp:%Y}/{scan_id}.json")
    bad = record(2, b'{"scan_id":2,"timestamp":"soon"}')
    encoded = shelf.encode(sealed(shelf, [record(1), bad]))
    assert {index: error.kind for index, error in encoded.refused.items()} == {1: "timestamp"}
    lines = Shelf(key="s/{batch_id}.jsonl")
    broken = record(3, b'{"scan_id":\n')
    broken._fields = record(3).fields
    assert lines.encode(sealed(lines, [record(1), broken])).refused[1].kind == "invalid"


@in_loop
async def test_a_repeat_changes_nothing() -> None:
    for shelf in (Shelf(), Shelf(key=BATCHED)):
        await write(shelf, [record(1), record(2)])
        held = dict(shelf.held)
        await write(shelf, [record(1), record(2)])
        assert shelf.held == held


@in_loop
async def test_equal_content_is_judged_by_the_raw_bodys_digest_not_by_the_stored_bytes() -> None:
    shelf = Shelf()
    await write(shelf, [record(1)])
    tag, _, metadata = shelf.held["scans/1.json"]
    shelf.held["scans/1.json"] = tag, b"moved to another encoding", metadata
    assert await write(shelf, [record(1)]) == "1 present"


@in_loop
async def test_a_foreign_object_is_compared_as_json() -> None:
    shelf = Shelf()
    same = json.dumps(json.loads(body(1)), indent=2, sort_keys=True).encode()
    shelf.held["scans/1.json"] = "theirs", same, {}
    shelf.held["scans/2.json"] = "theirs", b'{"scan_id":2}', {}
    with pytest.raises(PartialFailure) as caught:
        await write(shelf, [record(1), record(2), record(3)])
    assert caught.value.acked == {0, 2}
    assert isinstance(caught.value.errors[1], Conflict)
    assert shelf.held["scans/2.json"][1] == b'{"scan_id":2}'


@in_loop
async def test_a_foreign_batch_is_compared_line_by_line() -> None:
    shelf = Shelf(key=BATCHED)
    encoded = shelf.encode(sealed(shelf, [record(1), record(2)]))
    name = encoded.payload[0].key
    shelf.held[name] = "theirs", encoded.payload[0].data.replace(b", ", b","), {}
    assert await shelf.write(encoded) == "theirs"
    shelf.held[name] = "theirs", record(1).body + b"\n", {}
    with pytest.raises(Conflict):
        await shelf.write(encoded)


@pytest.mark.parametrize("action", ["dead_letter", "keep", "overwrite", "version"])
def test_the_destination_says_what_becomes_of_other_content(action: str) -> None:
    @in_loop
    async def check() -> None:
        shelf = Shelf(on_conflict=action)
        await write(shelf, [record(1)])
        other = record(2, body(1, note="again"), scan_id=1)
        if action == "dead_letter":
            with pytest.raises(PartialFailure) as caught:
                await write(shelf, [other])
            assert isinstance(caught.value.errors[0], Conflict)
        else:
            await write(shelf, [other])
            await write(shelf, [other])
        expected = {"scans/1.json": other.body if action == "overwrite" else record(1).body}
        if action == "version":
            expected[f"scans/1~v{other.sha256[:12]}.json"] = other.body
        assert {key: data for key, (_, data, _) in shelf.held.items()} == expected

    check()


@in_loop
async def test_an_older_scan_does_not_overwrite_a_newer_one() -> None:
    shelf = Shelf(on_conflict="overwrite")
    await write(shelf, [record(9, body(1, note="newer"), scan_id=1)])
    assert await write(shelf, [record(2, body(1), scan_id=1)]) == "1 superseded"
    assert b"newer" in shelf.held["scans/1.json"][1]


@in_loop
async def test_a_conflicting_batch_gets_a_name_of_its_own_if_versions_are_asked_for() -> None:
    shelf = Shelf(key=BATCHED, on_conflict="version")
    encoded = shelf.encode(sealed(shelf, [record(1)]))
    shelf.held[encoded.payload[0].key] = "theirs", b"{}\n", {}
    await shelf.write(encoded)
    await shelf.write(encoded)
    assert len(shelf.held) == 2
    assert shelf.held[encoded.payload[0].versioned_key][1] == record(1).body + b"\n"


@in_loop
async def test_a_version_known_to_the_journal_is_named_so_at_once() -> None:
    shelf = Shelf()
    await write(shelf, [record(1, scan_id="a", version=2)])
    assert list(shelf.held) == [f"scans/a~v{record(1, scan_id='a').sha256[:12]}.json"]


def failing(error: Exception, *keys: str) -> Callable[[str], None]:
    def before(key: str) -> None:
        if not keys or key in keys:
            raise error

    return before


@in_loop
async def test_one_misconfigured_object_does_not_lose_the_acks_of_the_others() -> None:
    shelf = Shelf(concurrency=1)
    shelf.before_create = failing(ShelfError(Misconfigured("denied")), "scans/3.json")
    with pytest.raises(PartialFailure) as caught:
        await write(shelf, [record(1), record(2), record(3), record(4)])
    assert caught.value.acked == {0, 1}
    assert {type(error) for error in caught.value.errors.values()} == {Misconfigured}
    assert shelf.puts == ["scans/1.json", "scans/2.json", "scans/3.json"]
    assert caught.value.answer == "2 created"


@in_loop
async def test_a_dead_store_is_asked_a_few_times_and_answers_for_all() -> None:
    shelf = Shelf(concurrency=4)
    shelf.before_create = failing(ShelfError(Throttled("slow down", retry_after=3.0, applied="no")))
    with pytest.raises(Throttled) as caught:
        await write(shelf, [record(n) for n in range(1, 101)])
    assert 4 <= len(shelf.puts) < 8
    assert (caught.value.retry_after, caught.value.applied) == (3.0, "no")


@in_loop
async def test_one_unknown_among_refusals_leaves_the_whole_unknown() -> None:
    shelf = Shelf(concurrency=2)

    def before(key: str) -> None:
        raise ShelfError(Transient("lost", applied="unknown" if key == "scans/2.json" else "no"))

    shelf.before_create = before
    with pytest.raises(Transient) as caught:
        await write(shelf, [record(1), record(2), record(3)])
    assert caught.value.applied == "unknown"


@in_loop
async def test_one_scan_that_always_fails_stops_none_of_its_neighbours() -> None:
    shelf = Shelf(concurrency=3)
    shelf.before_create = failing(ShelfError(Transient("500")), "scans/1.json")
    with pytest.raises(PartialFailure) as caught:
        await write(shelf, [record(n) for n in range(1, 101)])
    assert caught.value.acked == set(range(1, 100))
    assert set(caught.value.errors) == {0}


@in_loop
async def test_a_bug_in_one_objects_way_leaves_it_unknown_and_acks_the_others() -> None:
    shelf = Shelf()
    shelf.before_create = failing(ZeroDivisionError(), "scans/2.json")
    with pytest.raises(PartialFailure) as caught:
        await write(shelf, [record(1), record(2)])
    assert caught.value.acked == {0}
    assert not caught.value.errors
    with pytest.raises(ZeroDivisionError):
        await write(shelf, [record(2)])


@in_loop
async def test_a_refused_object_is_the_records_own_fault() -> None:
    shelf = Shelf()
    shelf.before_create = failing(ShelfError(Rejected("no", kind="too_large")))
    with pytest.raises(PartialFailure) as caught:
        await write(shelf, [record(1)])
    assert caught.value.errors[0].kind == "too_large"


@in_loop
async def test_what_may_not_be_read_is_ours_only_if_its_name_says_so() -> None:
    for key in ("s/{scan_id}-{sha256}.json", BATCHED):
        shelf = Shelf(key=key)
        await write(shelf, [record(1)])
        shelf.readable = False
        await write(shelf, [record(1)])
    shelf = Shelf()
    await write(shelf, [record(1)])
    shelf.readable = False
    with pytest.raises(Misconfigured, match="allow reading"):
        await write(shelf, [record(1)])


@in_loop
async def test_an_object_that_comes_and_goes_is_tried_again() -> None:
    shelf = Shelf()
    shelf.create = lambda key, item: None  # type: ignore[method-assign]
    with pytest.raises(Transient) as caught:
        await write(shelf, [record(1)])
    assert caught.value.applied == "no"
