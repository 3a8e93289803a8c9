"""Connectors that reach nothing, known to the registry of this process, for tests of what is above connectors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from scribe_export.interface import Checkpoint, Scanner, Sink, Source
from scribe_export.keys import KeyTemplate
from scribe_export.model import Delivery, Encoded, ScanRequest
from scribe_export.options import (
    Duration,
    Options,
    QueueSourceOptions,
    ScannerOptions,
    SecretText,
    SinkOptions,
    SourceOptions,
    Url,
)
from scribe_export.registry import register_scanner, register_sink, register_source


class Role(Options):
    arn: str
    external_id: str | None = None


class Auth(Options):
    profile: str | None = None
    assume_role: Role | None = None
    token: SecretText | None = None

    @model_validator(mode="after")
    def _one(self) -> "Auth":
        if self.profile and self.assume_role:
            raise ValueError("give profile or assume_role, not both")
        return self


class StoreOptions(SinkOptions):
    provider: ClassVar[str | None] = "fake"
    bucket: str
    key: str
    region: str | None = None
    endpoint_url: Url | None = None
    auth: Auth = Auth()
    secret: SecretText | None = None
    storage_class: Literal["STANDARD", "COLD"] = "STANDARD"
    tags: dict[str, str] = Field(default_factory=dict)
    port: int = 9000
    columns: tuple[str, ...] = ()

    @field_validator("key")
    @classmethod
    def _template(cls, value: str) -> str:
        KeyTemplate.parse(value)
        return value

    @field_validator("secret", mode="before")
    @classmethod
    def _long_enough(cls, value: object) -> object:
        if isinstance(value, str) and len(value) < 4:
            raise ValueError(f"{value} is too short")
        return value

    def place(self) -> str | None:
        return f"fake://{self.bucket}/{self.key}"


class FakeStore(Sink):
    options_type = StoreOptions

    async def write(self, encoded: Encoded) -> str | None:
        return "stored"


class FolderOptions(SinkOptions):
    directory: Path


class FakeFolder(Sink):
    options_type = FolderOptions

    async def write(self, encoded: Encoded) -> str | None:
        return None


class FeedOptions(SourceOptions):
    provider: ClassVar[str | None] = "feed"
    url: Url
    api_key: SecretText | None = None
    poll_interval: Duration = 5.0


class FakeFeed(Source):
    options_type: ClassVar[type[Options]] = FeedOptions

    async def deliveries(self, checkpoint: Checkpoint) -> AsyncIterator[Delivery]:
        return
        yield


class FakeQueue(FakeFeed):
    options_type: ClassVar[type[Options]] = QueueSourceOptions


class EntriesOptions(SourceOptions):
    @property
    def acknowledging(self) -> bool:
        return True


class FakeEntries(FakeFeed):
    options_type: ClassVar[type[Options]] = EntriesOptions


class ScanOptions(ScannerOptions):
    provider: ClassVar[str | None] = "feed"
    url: Url
    api_key: SecretText | None = None


class FakeScanner(Scanner):
    options_type = ScanOptions

    async def scan(self, request: ScanRequest) -> bytes:
        return b"{}"


register_sink("fake_store", FakeStore)
register_sink("fake_folder", FakeFolder)
register_source("fake_feed", FakeFeed)
register_source("fake_queue", FakeQueue)
register_source("fake_entries", FakeEntries)
register_scanner("fake_scanner", FakeScanner)
