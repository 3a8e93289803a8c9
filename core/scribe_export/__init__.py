"""Delivers every completed SCRIBE scan to the destinations of one YAML file, and loses none.

What is listed here is public. Names are loaded when first used: importing the package imports nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scribe_export.accepted import Accepted
    from scribe_export.asking import deliver_blocking
    from scribe_export.clock import Clock, SystemClock
    from scribe_export.errors import (
        BreakerOpen,
        ConfigError,
        Conflict,
        ConnectorUnavailable,
        InvalidScan,
        JournalError,
        JournalFull,
        JournalTooNew,
        JournalUnusable,
        Misconfigured,
        PartialFailure,
        Problem,
        Rejected,
        ScribeExportError,
        SinkError,
        SourceError,
        StateOwned,
        Throttled,
        Transient,
        Undelivered,
    )
    from scribe_export.exporter import Exporter
    from scribe_export.interface import Checkpoint, Connector, Context, Scanner, Sink, Source, Triggered
    from scribe_export.model import (
        Batch,
        BatchLimits,
        Delivery,
        Effect,
        EffectClass,
        Encoded,
        Incoming,
        Record,
        Request,
        ScanRequest,
        Usage,
    )
    from scribe_export.options import (
        Duration,
        Options,
        QueueSourceOptions,
        ScannerOptions,
        Secret,
        SecretText,
        SinkOptions,
        Size,
        SourceOptions,
        Url,
    )
    from scribe_export.patterns import CacheAside, CircuitBreaker, CircuitState, HealthMonitor, RetryPolicy
    from scribe_export.registry import register_scanner, register_sink, register_source

__all__ = [
    "Accepted",
    "Batch",
    "BatchLimits",
    "BreakerOpen",
    "CacheAside",
    "Checkpoint",
    "CircuitBreaker",
    "CircuitState",
    "Clock",
    "ConfigError",
    "Conflict",
    "Connector",
    "ConnectorUnavailable",
    "Context",
    "Delivery",
    "Duration",
    "Effect",
    "EffectClass",
    "Encoded",
    "Exporter",
    "HealthMonitor",
    "Incoming",
    "InvalidScan",
    "JournalError",
    "JournalFull",
    "JournalTooNew",
    "JournalUnusable",
    "Misconfigured",
    "Options",
    "PartialFailure",
    "Problem",
    "QueueSourceOptions",
    "Record",
    "Rejected",
    "Request",
    "RetryPolicy",
    "ScanRequest",
    "Scanner",
    "ScannerOptions",
    "ScribeExportError",
    "Secret",
    "SecretText",
    "Sink",
    "SinkError",
    "SinkOptions",
    "Size",
    "Source",
    "SourceError",
    "SourceOptions",
    "StateOwned",
    "SystemClock",
    "Throttled",
    "Transient",
    "Triggered",
    "Undelivered",
    "Url",
    "Usage",
    "deliver_blocking",
    "register_scanner",
    "register_sink",
    "register_source",
]

_MODULES = {
    "accepted": ("Accepted",),
    "clock": ("Clock", "SystemClock"),
    "errors": (
        "BreakerOpen",
        "ConfigError",
        "Conflict",
        "ConnectorUnavailable",
        "InvalidScan",
        "JournalError",
        "JournalFull",
        "JournalTooNew",
        "JournalUnusable",
        "Misconfigured",
        "PartialFailure",
        "Problem",
        "Rejected",
        "ScribeExportError",
        "SinkError",
        "SourceError",
        "StateOwned",
        "Throttled",
        "Transient",
        "Undelivered",
    ),
    "asking": ("deliver_blocking",),
    "exporter": ("Exporter",),
    "interface": ("Checkpoint", "Connector", "Context", "Scanner", "Sink", "Source", "Triggered"),
    "model": (
        "Batch",
        "BatchLimits",
        "Delivery",
        "Effect",
        "EffectClass",
        "Encoded",
        "Incoming",
        "Record",
        "Request",
        "ScanRequest",
        "Usage",
    ),
    "options": (
        "Duration",
        "Options",
        "QueueSourceOptions",
        "ScannerOptions",
        "Secret",
        "SecretText",
        "SinkOptions",
        "Size",
        "SourceOptions",
        "Url",
    ),
    "patterns": ("CacheAside", "CircuitBreaker", "CircuitState", "HealthMonitor", "RetryPolicy"),
    "registry": ("register_scanner", "register_sink", "register_source"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
