"""Scans performed through the SCRIBE API."""

from typing import ClassVar

import msgspec

from scribe_connectors.scribe.client import AsyncScribeClient
from scribe_connectors.scribe.options import ScribeScannerOptions, connected
from scribe_export.errors import Transient
from scribe_export.interface import Scanner
from scribe_export.model import ScanRequest
from scribe_export.options import Options


class _Answer(msgspec.Struct):
    scan_id: int | str


class ScribeApiScanner(Scanner):
    """``POST /scan``: one request, one scan. While the API is down, requests are refused unsent by a circuit breaker."""

    options_type: ClassVar[type[Options]] = ScribeScannerOptions
    options: ScribeScannerOptions
    _client: AsyncScribeClient | None = None

    async def open(self) -> None:
        await self.close()
        self._client = await connected(self.options, self.context)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await client.close()

    async def scan(self, request: ScanRequest) -> bytes:
        if self._client is None:
            raise RuntimeError("the scanner is not open")
        body = await self._client.perform_scan_bytes(request)
        try:
            msgspec.json.decode(body, type=_Answer)
        except msgspec.ValidationError as error:
            raise Transient(f"POST {self.options.url}/scan: the answer is no completed scan: {error}") from None
        return body
