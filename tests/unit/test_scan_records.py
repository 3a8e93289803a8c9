import hashlib

import pytest

from scribe_export.testing.records import make_record, make_records, scan_body, scan_document


def test_records_are_different_scans_of_one_day_and_the_same_each_time() -> None:
    first, again = make_records(50), make_records(50)
    assert [record.body for record in first] == [record.body for record in again]
    assert len({record.sha256 for record in first}) == 50
    assert {record.timestamp.date().isoformat() for record in first} == {"2026-05-06"}


def test_the_routing_fields_of_a_scan_are_all_there() -> None:
    fields = make_record(7).fields
    assert fields.scan_id == "7"
    assert fields.material in {"oak", "steel", "glass", "acrylic"}
    assert fields.signal_type == "sine"
    assert fields.frequency in {220.0, 440.0, 880.0}
    assert fields.confidence is not None
    assert 0.6 <= fields.confidence <= 1


def test_a_record_carries_the_digest_of_its_body() -> None:
    record = make_record("odd/id")
    assert record.sha256 == hashlib.sha256(record.body).hexdigest()
    assert record.fields.scan_id == "odd/id"


@pytest.mark.parametrize("size", [100, 4096, 300_001])
def test_a_body_of_a_wanted_size_has_exactly_that(size: int) -> None:
    body = scan_body("large", size=size)
    assert len(body) == size
    assert make_record("large", body=body).fields.scan_id == "large"


def test_a_size_too_small_for_any_scan_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        scan_body("large", size=20)


def test_a_material_rings_by_its_own_modes() -> None:
    document = scan_document(1)
    peaks = document["features"]["frequency_domain"]["peaks"]
    assert peaks[0] == document["config"]["frequency"]
    assert peaks == sorted(peaks)
    assert any(abs(sample) > 0.01 for sample in document["response"]["audio_data"])
