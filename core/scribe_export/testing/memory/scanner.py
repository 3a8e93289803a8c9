"""An instrument and its scanner that live in this process and keep the whole contract."""

from itertools import count
from typing import ClassVar

import anyio.lowlevel
import msgspec

from scribe_export.errors import Misconfigured, Rejected, Transient
from scribe_export.interface import Context, Scanner
from scribe_export.model import ScanRequest
from scribe_export.options import Options, ScannerOptions
from scribe_export.testing.destination import Faults
from scribe_export.testing.memory.switches import Switches
from scribe_export.testing.records import scan_document

SIGNALS = frozenset({"sine", "square", "sweep", "pulse", "noise"})


class MemoryInstrument(Switches):
    """Performs scans and counts them."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.performed = 0
        self._seed = seed
        self._ids = count(1)

    async def perform(self, request: ScanRequest) -> bytes:
        """A completed scan's JSON; raises ValueError for a request out of range and OSError as a client would."""
        await anyio.lowlevel.checkpoint()
        self.arrive()
        if request.signal_type not in SIGNALS or request.frequency <= 0 or request.duration <= 0:
            raise ValueError(f"signal_type must be one of {', '.join(sorted(SIGNALS))}; hertz and seconds above 0")
        if not 0 <= request.amplitude <= 1:
            raise ValueError(f"amplitude must be from 0 to 1, it is {request.amplitude}")
        self.performed += 1
        body = msgspec.json.encode(scan_document(next(self._ids), seed=self._seed, request=request))
        await anyio.lowlevel.checkpoint()
        self.leave()
        return body

    def faults(self) -> Faults:
        """All that this instrument can be made to do."""
        return Faults(
            down=self.down, deny=self.denying, lose_answers=self.losing_answers, requests=lambda: self.requests
        )


class MemoryScanner(Scanner):
    """Has a `MemoryInstrument` perform scans."""

    options_type: ClassVar[type[Options]] = ScannerOptions

    def __init__(
        self, options: ScannerOptions, context: Context, *, instrument: MemoryInstrument | None = None
    ) -> None:
        super().__init__(options, context)
        self.instrument = instrument or MemoryInstrument()

    async def scan(self, request: ScanRequest) -> bytes:
        """One request to the instrument."""
        try:
            return await self.instrument.perform(request)
        except ValueError as error:
            raise Rejected(str(error)) from error
        except ConnectionRefusedError as error:
            raise Transient(str(error), applied="no") from error
        except PermissionError as error:
            raise Misconfigured(str(error)) from error
        except OSError as error:
            raise Transient(str(error)) from error
