"""The SCRIBE API's clients, blocking and async, with the methods of the integration guide."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
import httpx

from scribe_connectors.scribe import _endpoints, _errors
from scribe_connectors.scribe._endpoints import Call, ScanId
from scribe_connectors.scribe._listed import Entry
from scribe_connectors.scribe._transport import MAX_RESPONSE, Answer, Transport
from scribe_connectors.scribe.documents import AnyScanConfig, BatchScansFailed, ScanConfig, ScanDocument
from scribe_export.errors import SinkError, Throttled, Transient
from scribe_export.options import Secret
from scribe_export.patterns import CircuitBreaker, RetryPolicy

__all__ = ["AsyncScribeClient", "BatchScansFailed", "ScanConfig", "ScanDocument", "ScribeClient"]

T = TypeVar("T")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


class _Client(ABC, Generic[Http]):
    """What the two have in common: the connection, and which failures are tried again.

    `timeout` is in seconds and bounds a whole answer (in the blocking client, from the end of its headers on; before, it
    bounds each read). Connecting has 10 s at most. `max_response` is in bytes. `trust_env` takes proxies from the
    environment; by default it does not, for a scanner stands nearby. `retry` repeats what reads, and what writes only if
    it surely took no effect. `breaker` holds calls back while the API is down. Each None is a policy of the client's own.

    Methods raise `Misconfigured` (key, URL, certificate), `Rejected` (the request; of kind ``not_found`` for an unknown
    scan), `Throttled`, `Transient` and `BreakerOpen`. The constructor raises ValueError, and `Misconfigured` for a bad
    CA file.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        api_key: str | Secret | None = None,
        *,
        timeout: float = 30.0,
        max_response: int = MAX_RESPONSE,
        ca_file: Path | None = None,
        trust_env: bool = False,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        key = Secret(api_key) if isinstance(api_key, str) else api_key
        self._transport = Transport(self.base_url, key, timeout, max_response, ca_file, trust_env)
        self._retry = retry or RetryPolicy(max_attempts=3, base_delay=0.5, max_delay=10.0)
        self._breaker = breaker or CircuitBreaker(timeout=30.0, counts=speaks_against)
        self._http: Http = self._connections(self._transport.settings())

    @abstractmethod
    def _connections(self, settings: dict[str, Any]) -> Http: ...

    def _policy(self, call: Call[T]) -> RetryPolicy:
        return self._retry if call.repeatable else self._retry.narrowed(_surely_not_done)

    def _scan(self, config: AnyScanConfig) -> Call[bytes]:
        return _endpoints.scan(config, self._transport.timeout)


def speaks_against(error: Exception) -> bool:
    """Whether an error says that the API is down: a refusal, or a wish for fewer calls, shows that it is up."""
    return not isinstance(error, SinkError) or (isinstance(error, Transient) and not isinstance(error, Throttled))


def _surely_not_done(error: BaseException) -> bool:
    return isinstance(error, SinkError) and error.applied == "no"


class ScribeClient(_Client[httpx.Client]):
    """The blocking client; one may serve many threads. Close it, or use it in a ``with``."""

    def _connections(self, settings: dict[str, Any]) -> httpx.Client:
        return httpx.Client(**settings)

    def health_check(self) -> bool:
        """Whether the API answers that it is healthy, within 5 s; raises nothing."""
        try:
            self._send(_endpoints.health())
        except SinkError:
            return False
        return True

    def perform_scan(self, config: AnyScanConfig) -> ScanDocument:
        """Perform a scan and wait for it. Not repeated unless it surely was not performed."""
        return _endpoints.scan_document(self.perform_scan_bytes(config))

    def perform_scan_bytes(self, config: AnyScanConfig) -> bytes:
        """As `perform_scan`; the completed scan as the API sent it."""
        return self._call(self._scan(config))

    def get_scan_history(self, limit: int = 10) -> list[ScanDocument]:
        """The newest scans, newest first, at most `limit`."""
        return self._call(_endpoints.history(limit))

    def get_scan_details(self, scan_id: ScanId) -> ScanDocument:
        """One scan."""
        return _endpoints.scan_document(self.scan_bytes(scan_id))

    def scan_bytes(self, scan_id: ScanId) -> bytes:
        """One scan as the API sends it."""
        return self._call(_endpoints.details(scan_id))

    def add_feedback(self, scan_id: ScanId, feedback_type: str, feedback_data: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the scanner of a scan's true nature, say ``material_correction`` and ``{"correct_material": "oak"}``."""
        return self._call(_endpoints.feedback(scan_id, feedback_type, feedback_data))

    def compare_scans(self, scan_ids: Sequence[ScanId]) -> dict[str, Any]:
        """Compare scans with each other."""
        return self._call(_endpoints.compare(scan_ids))

    def close(self) -> None:
        """Close the connections. Safe twice."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, call: Call[T]) -> T:
        return self._policy(call).execute(self._breaker.call, self._send, call)

    def _send(self, call: Call[T]) -> T:
        answer = Answer(self._transport, call)
        try:
            with self._http.stream(**self._transport.request(call)) as response:
                for piece in response.iter_bytes():
                    answer.add(piece)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _errors.no_answer(error, call, self.base_url) from None
        return answer.read(response)


class AsyncScribeClient(_Client[httpx.AsyncClient]):
    """The async client, on asyncio or trio. Close it, or use it in an ``async with``."""

    def _connections(self, settings: dict[str, Any]) -> httpx.AsyncClient:
        return httpx.AsyncClient(**settings)

    async def health_check(self) -> bool:
        """Whether the API answers that it is healthy, within 5 s; raises nothing."""
        try:
            await self.check_health()
        except SinkError:
            return False
        return True

    async def check_health(self) -> None:
        """As `health_check`, but raise why not."""
        await self._send(_endpoints.health())

    async def perform_scan(self, config: AnyScanConfig) -> ScanDocument:
        """Perform a scan and wait for it. Not repeated unless it surely was not performed."""
        return _endpoints.scan_document(await self.perform_scan_bytes(config))

    async def perform_scan_bytes(self, config: AnyScanConfig) -> bytes:
        """As `perform_scan`; the completed scan as the API sent it."""
        return await self._call(self._scan(config))

    async def batch_scans(self, configs: Sequence[AnyScanConfig], *, max_in_flight: int = 4) -> list[ScanDocument]:
        """Perform scans, `max_in_flight` at a time; the results in the order asked.

        Raises `BatchScansFailed`, which holds the others' results, once all were tried and some failed.
        """
        results: list[ScanDocument | None] = [None] * len(configs)
        errors: dict[int, Exception] = {}
        places = anyio.CapacityLimiter(max_in_flight)

        async def perform(index: int, config: AnyScanConfig) -> None:
            async with places:
                try:
                    results[index] = await self.perform_scan(config)
                except SinkError as error:
                    errors[index] = error

        async with anyio.create_task_group() as group:
            for index, config in enumerate(configs):
                group.start_soon(perform, index, config)
        if errors:
            raise BatchScansFailed(results, errors)
        return [result for result in results if result is not None]

    async def get_scan_history(self, limit: int = 10) -> list[ScanDocument]:
        """The newest scans, newest first, at most `limit`."""
        return await self._call(_endpoints.history(limit))

    async def get_scan_list(self, limit: int) -> list[Entry]:
        """As `get_scan_history`, but only what tells the scans apart; the documents themselves are not built."""
        return await self._call(_endpoints.entries(limit))

    async def get_scan_details(self, scan_id: ScanId) -> ScanDocument:
        """One scan."""
        return _endpoints.scan_document(await self.scan_bytes(scan_id))

    async def scan_bytes(self, scan_id: ScanId) -> bytes:
        """One scan as the API sends it."""
        return await self._call(_endpoints.details(scan_id))

    async def add_feedback(
        self, scan_id: ScanId, feedback_type: str, feedback_data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Tell the scanner of a scan's true nature, say ``material_correction`` and ``{"correct_material": "oak"}``."""
        return await self._call(_endpoints.feedback(scan_id, feedback_type, feedback_data))

    async def compare_scans(self, scan_ids: Sequence[ScanId]) -> dict[str, Any]:
        """Compare scans with each other."""
        return await self._call(_endpoints.compare(scan_ids))

    async def close(self) -> None:
        """Close the connections. Safe twice."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.close()

    async def _call(self, call: Call[T]) -> T:
        return await self._policy(call).aexecute(self._breaker.acall, self._send, call)

    async def _send(self, call: Call[T]) -> T:
        answer = Answer(self._transport, call)
        try:
            with anyio.fail_after(answer.timeout):
                async with self._http.stream(**self._transport.request(call)) as response:
                    async for piece in response.aiter_bytes():
                        answer.add(piece)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _errors.no_answer(error, call, self.base_url) from None
        except TimeoutError:
            raise _errors.too_late(call, self.base_url, answer.timeout) from None
        return answer.read(response)
