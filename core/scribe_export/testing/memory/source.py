"""A feed and its source that live in this process and keep the whole contract."""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, cast

import anyio.lowlevel
from pydantic import Field

from scribe_export.errors import Misconfigured, Transient
from scribe_export.interface import Checkpoint, Context, Source
from scribe_export.model import Delivery, Incoming
from scribe_export.options import Duration, Options, SourceOptions
from scribe_export.testing.destination import Faults
from scribe_export.testing.memory.switches import Switches
from scribe_export.testing.records import scan_body


class MemoryFeed(Switches):
    """A log of bodies that is read from a position and keeps all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def put(self, count: int) -> Mapping[str, bytes]:
        """Append so many new scans; returns their bodies by scan id."""
        first = len(self.bodies) + 1
        added = {str(n): scan_body(n) for n in range(first, first + count)}
        self.bodies += added.values()
        return added

    async def read(self, position: int, most: int) -> list[bytes]:
        """Up to `most` bodies from `position` on; raises OSError as a client would."""
        await anyio.lowlevel.checkpoint()
        self.arrive()
        self.leave()
        return self.bodies[position : position + most]

    def faults(self) -> Faults:
        """All that this feed can be made to do."""
        return Faults(down=self.down, deny=self.denying, lose_answers=self.losing_answers)


class MemorySourceOptions(SourceOptions):
    """What a user of the memory source may set."""

    max_records: int = Field(default=5, ge=1)
    """Scans a delivery."""
    poll_interval: Duration = Field(default=0.01, gt=0)
    """Seconds between looks for more."""


class MemorySource(Source):
    """Reads a `MemoryFeed`; its checkpoint is the position read to."""

    options_type: ClassVar[type[Options]] = MemorySourceOptions

    def __init__(self, options: SourceOptions, context: Context, *, feed: MemoryFeed | None = None) -> None:
        super().__init__(options, context)
        self.feed = feed or MemoryFeed()

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        """Everything from the committed position on, then, unless asked for once, what comes."""
        options = cast("MemorySourceOptions", self.options)
        position = int((await checkpoint.get(["position"])).get("position", "0"))
        while True:
            bodies = await self._read(position, options.max_records)
            if bodies:
                incoming = [Incoming(body, f"feed:{position + n}") for n, body in enumerate(bodies)]
                position += len(bodies)
                yield Delivery(incoming, {"position": str(position)})
            elif self.context.once:
                return
            else:
                await self.context.clock.sleep(options.poll_interval)

    async def _read(self, position: int, most: int) -> list[bytes]:
        try:
            return await self.feed.read(position, most)
        except PermissionError as error:
            raise Misconfigured(str(error)) from error
        except OSError as error:
            raise Transient(str(error), applied="no") from error
