"""The resilience patterns, each usable by itself: in lanes, in connectors and in a user's own scripts."""

from scribe_export.patterns.cache import CacheAside
from scribe_export.patterns.circuit import BreakerSnapshot, CircuitBreaker, CircuitState
from scribe_export.patterns.health import HealthMonitor
from scribe_export.patterns.retry import RetryPolicy

__all__ = ["BreakerSnapshot", "CacheAside", "CircuitBreaker", "CircuitState", "HealthMonitor", "RetryPolicy"]
