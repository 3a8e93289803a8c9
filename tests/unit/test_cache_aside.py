import pytest
from support.stepped_clock import SteppedClock

from scribe_export.patterns import CacheAside


def test_a_value_is_there_until_its_time_is_over() -> None:
    clock = SteppedClock()
    cache = CacheAside(ttl=300, clock=clock)
    assert cache.get("scan_440.0_2.0") is None
    cache.set("scan_440.0_2.0", {"scan_id": 1})
    clock.pass_time(299.9)
    assert cache.get("scan_440.0_2.0") == {"scan_id": 1}
    clock.pass_time(0.1)
    assert cache.get("scan_440.0_2.0") is None
    assert len(cache) == 0


def test_setting_again_starts_the_time_anew_and_invalidating_ends_it() -> None:
    clock = SteppedClock()
    cache = CacheAside(ttl=10, clock=clock)
    cache.set("a", 1)
    clock.pass_time(9)
    cache.set("a", 2)
    clock.pass_time(9)
    assert cache.get("a") == 2
    cache.invalidate("a")
    cache.invalidate("a")
    assert cache.get("a") is None


def test_the_least_recently_used_value_leaves_a_full_cache() -> None:
    cache = CacheAside(max_entries=2, clock=SteppedClock())
    cache.set("a", 1)
    cache.set("b", 2)
    assert cache.get("a") == 1
    cache.set("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.clear()
    assert len(cache) == 0


def test_without_time_to_live_nothing_is_kept() -> None:
    cache = CacheAside(ttl=0, clock=SteppedClock())
    cache.set("a", 1)
    assert cache.get("a") is None


@pytest.mark.parametrize("setting", [{"ttl": -1}, {"max_entries": 0}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        CacheAside(**setting)  # type: ignore[arg-type] # the settings are of different types
