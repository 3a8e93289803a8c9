"""From a connector's name to its class: what is installed as an entry point, or registered in this process.

An entry point in the group ``scribe_export.sinks``, ``.sources`` or ``.scanners`` is loaded when its name is used, so
an SDK that nobody names is never imported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, cast

from scribe_export.errors import ConnectorUnavailable
from scribe_export.function_sink import SinkFunction, sink_of
from scribe_export.interface import Connector, Scanner, Sink, Source
from scribe_export.model import BatchLimits
from scribe_export.suggest import did_you_mean

Kind = Literal["sinks", "sources", "scanners"]
_CLASSES: dict[Kind, Any] = {"sinks": Sink, "sources": Source, "scanners": Scanner}
KINDS: tuple[Kind, ...] = tuple(_CLASSES)
AnyConnector = type[Connector[Any]]

_DISTRIBUTION = "scribe-export"
_FUNCTION_LIMITS = BatchLimits(max_records=100)
_EXTRAS = {"aws": "aws", "gcp": "gcp", "redis": "redis", "rabbitmq": "rabbitmq", "scribe_websocket": "websocket"}
_registered: dict[Kind, dict[str, AnyConnector]] = {"sinks": {}, "sources": {}, "scanners": {}}


@dataclass(frozen=True, slots=True)
class Listed:
    """A connector as `connectors` shows it. `problem` says what to do where it cannot be loaded."""

    kind: Kind
    name: str
    origin: str
    connector: AnyConnector | None = None
    problem: str = ""


def find(kind: Kind, name: str) -> AnyConnector:
    """The class of that name; raises `ConnectorUnavailable` saying what to do."""
    if name in _registered[kind]:
        return _registered[kind][name]
    point = _installed(kind).get(name)
    if point is None:
        elsewhere = [other for other in KINDS if name in _names(other)]
        if elsewhere:
            only = " and a ".join(other[:-1] for other in elsewhere)
            raise ConnectorUnavailable(f'"{name}" is a {only}, not a {kind[:-1]}')
        raise ConnectorUnavailable(f'unknown type "{name}"' + did_you_mean(name, _names(kind)))
    return _loaded(kind, point)


def connectors() -> list[Listed]:
    """Every connector there is, by kind and name; loads them all."""
    listed = []
    for kind in KINDS:
        for name in sorted(_names(kind)):
            point = _installed(kind).get(name)
            origin = point.dist.name if point and point.dist and name not in _registered[kind] else "this process"
            try:
                listed.append(Listed(kind, name, origin, find(kind, name)))
            except ConnectorUnavailable as error:
                listed.append(Listed(kind, name, origin, problem=str(error)))
    return listed


def register_sink(name: str, sink: type[Sink] | SinkFunction, *, limits: BatchLimits = _FUNCTION_LIMITS) -> None:
    """Make a sink known in this process under `name`: a class, or a function that takes a sequence of records.

    `limits` bounds the batches of a function. Raises ValueError if the name is taken, TypeError if it is
    neither.
    """
    _register("sinks", name, sink if isinstance(sink, type) else sink_of(sink, limits))


def register_source(name: str, source: type[Source]) -> None:
    """Make a source known in this process; raises ValueError if the name is taken."""
    _register("sources", name, source)


def register_scanner(name: str, scanner: type[Scanner]) -> None:
    """Make a scanner known in this process; raises ValueError if the name is taken."""
    _register("scanners", name, scanner)


def _register(kind: Kind, name: str, connector: Any) -> None:
    if name in _names(kind):
        raise ValueError(f'there is a {kind[:-1]} named "{name}" already')
    _registered[kind][name] = _checked(kind, connector)


def _names(kind: Kind) -> set[str]:
    return set(_installed(kind)) | set(_registered[kind])


@cache
def _installed(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"scribe_export.{kind}")}


def _checked(kind: Kind, connector: Any) -> AnyConnector:
    wanted = _CLASSES[kind]
    if not (isinstance(connector, type) and issubclass(connector, wanted)):
        raise TypeError(f"{connector!r} is not a subclass of scribe_export.interface.{wanted.__name__}")
    return cast("AnyConnector", connector)


def _loaded(kind: Kind, point: EntryPoint) -> AnyConnector:
    origin = point.dist.name if point.dist else "an unknown distribution"
    try:
        load: Callable[[], Any] = point.load
        return _checked(kind, load())
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and not f"{point.module}.".startswith(missing.partition(".")[0] + "."):
            raise ConnectorUnavailable(_install(point.name, missing, origin)) from None
        raise ConnectorUnavailable(f"{point.name} cannot be loaded from {origin}: {error}; install it anew") from None
    except (ImportError, AttributeError, TypeError) as error:
        raise ConnectorUnavailable(f"{point.name} cannot be loaded from {origin}: {error}; install it anew") from None


def _install(name: str, missing: str, origin: str) -> str:
    module = missing.partition(".")[0]
    if origin != _DISTRIBUTION:
        return f"{name} needs the package {module}, which is not installed; see how {origin} is installed"
    extra = _EXTRAS.get(name) or _EXTRAS.get(name.partition("_")[0])
    package = f"{_DISTRIBUTION}[{extra}]" if extra else _DISTRIBUTION
    return f"{name} needs {module}, which is not installed; run: pip install '{package}'"
