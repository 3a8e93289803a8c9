"""Scans performed by a function in Lambda."""

from typing import ClassVar

import msgspec
from anyio import to_thread
from pydantic import Field

from scribe_connectors.aws._function import FUNCTION_ERROR, PATIENCE, Function, FunctionOptions
from scribe_export.errors import InvalidScan, Rejected, Transient
from scribe_export.interface import Context, Scanner
from scribe_export.model import ScanRequest
from scribe_export.options import Duration, Options, ScannerOptions
from scribe_export.scan import read_fields


class LambdaScannerOptions(FunctionOptions, ScannerOptions):
    """A function that performs scans."""

    timeout: Duration = Field(default=PATIENCE, gt=0)
    """Seconds before a scan is given up as unknown: above the function's own timeout."""
    rejections: tuple[str, ...] = Field(default=("Rejected", "ValueError"), strict=False)
    """Names of what the function raises when a request can never be performed."""


class LambdaScanner(Scanner):
    """Sends each request to a function, waits for it, and takes its result as the completed scan.

    Needs lambda:InvokeFunction. With lambda:GetFunctionConfiguration it compares its timeout with the function's.
    """

    options_type: ClassVar[type[Options]] = LambdaScannerOptions
    options: LambdaScannerOptions

    def __init__(self, options: LambdaScannerOptions, context: Context) -> None:
        super().__init__(options, context)
        self._function = Function(
            options, folder=context.folder, timeout=options.timeout, connections=options.max_in_flight
        )

    async def open(self) -> None:
        await to_thread.run_sync(lambda: self._function.open(waits=True, durable=False))

    async def close(self) -> None:
        await to_thread.run_sync(self._function.client.close)

    async def scan(self, request: ScanRequest) -> bytes:
        return await to_thread.run_sync(self._scan, request)

    def _scan(self, request: ScanRequest) -> bytes:
        try:
            invocation = self._function.invoke(msgspec.json.encode(request))
        except Exception as error:
            known = self._function.classify(error)
            raise (known or error) from error
        if invocation.failed:
            if invocation.error_type() in self.options.rejections:
                raise Rejected(str(invocation))
            raise Transient(str(invocation), kind=FUNCTION_ERROR)
        try:
            read_fields(invocation.payload)
        except InvalidScan as error:
            raise Transient(f"{self.options.function} answered with what is no completed scan: {error}") from None
        return invocation.payload
