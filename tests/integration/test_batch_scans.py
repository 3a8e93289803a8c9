"""Many scans at once: so many in flight, the results in the order asked, and one failure loses none of the others."""

import anyio
import msgspec
import pytest
from support.eventually import eventually
from support.scripted_scribe import Answer, ScriptedScribe

from scribe_connectors.scribe.client import AsyncScribeClient, BatchScansFailed, ScanConfig
from scribe_export.errors import Rejected, SinkError, Transient
from scribe_export.patterns import RetryPolicy

ONCE = RetryPolicy(max_attempts=1)
pytestmark = pytest.mark.anyio


def configs(count: int) -> list[ScanConfig]:
    return [ScanConfig(frequency=float(number)) for number in range(1, count + 1)]


@pytest.mark.parametrize("most", [None, 1, 6])
async def test_a_batch_has_only_so_many_scans_in_flight(api: ScriptedScribe, most: int | None) -> None:
    expected = most or 4
    api.script = lambda _, __: Answer(hang=True)
    async with AsyncScribeClient(api.url, timeout=5, retry=ONCE) as client, anyio.create_task_group() as group:
        batch = client.batch_scans if most is None else lambda asked: client.batch_scans(asked, max_in_flight=most)
        group.start_soon(batch, configs(9))
        await eventually(lambda: len(api.requests) == expected)
        with pytest.raises(TimeoutError):  # time for one more, which must not come
            await eventually(lambda: len(api.requests) > expected, within=0.1)
        assert len(api.requests) == expected
        group.cancel_scope.cancel()


async def test_results_of_a_batch_stand_in_the_order_asked_whichever_comes_first(api: ScriptedScribe) -> None:
    answered: list[float] = []

    def echo(_: str, __: str) -> Answer:
        asked = msgspec.json.decode(api.requests[-1].body)
        # The first two are answered when all others have been.
        held = asked["frequency"] <= 2
        return Answer(
            body=msgspec.json.encode({"scan_id": 1, "config": asked}),
            when=lambda: not held or len(answered) >= 18,
        )

    api.script = echo
    async with AsyncScribeClient(api.url) as client:
        perform = client.perform_scan

        async def noted(config: object) -> object:
            result = await perform(config)  # type: ignore[arg-type]  # passed on as it came
            answered.append(result["config"]["frequency"])
            return result

        client.perform_scan = noted  # type: ignore[assignment,method-assign]  # to see who comes first
        results = await client.batch_scans(configs(20))
    assert [result["config"]["frequency"] for result in results] == list(range(1, 21))
    assert sorted(answered[-2:]) == [1, 2]


@pytest.mark.parametrize(
    ("frequency", "kind", "sent"), [(float("nan"), Rejected, 6), (-1.0, Rejected, 7), (13.0, Transient, 7)]
)
async def test_one_failure_of_a_batch_loses_no_other_result(
    api: ScriptedScribe, frequency: float, kind: type[SinkError], sent: int
) -> None:
    """Refused before it is sent, refused by the API, and answered by nobody."""
    api.script = lambda _, __: Answer(reset=True) if b'"frequency":13' in api.requests[-1].body else None
    asked = configs(7)
    asked[3] = ScanConfig(frequency=frequency)
    async with AsyncScribeClient(api.url, retry=ONCE) as client:
        with pytest.raises(BatchScansFailed, match=r"1 of 7 scans failed, first number 4: ") as caught:
            await client.batch_scans(asked)
    assert [result is None for result in caught.value.results] == [False] * 3 + [True] + [False] * 3
    assert {index: type(error) for index, error in caught.value.errors.items()} == {3: kind}
    assert len(api.paths("/scan")) == sent
    assert len(api.scans) == 6


async def test_a_batch_of_which_all_fail_says_so_and_an_empty_one_is_done(api: ScriptedScribe) -> None:
    api.script = lambda _, __: Answer(422)
    async with AsyncScribeClient(api.url, retry=ONCE) as client:
        assert await client.batch_scans([]) == []
        with pytest.raises(BatchScansFailed, match="3 of 3 scans failed") as caught:
            await client.batch_scans(configs(3))
    assert caught.value.results == [None, None, None]
    assert sorted(caught.value.errors) == [0, 1, 2]
