"""What `import scribe_export` offers, and what it costs."""

import subprocess
import sys

import pytest

import scribe_export

PUBLIC = """
Accepted Batch BatchLimits BreakerOpen CacheAside Checkpoint CircuitBreaker CircuitState Clock ConfigError
Conflict Connector ConnectorUnavailable Context Delivery Duration Effect EffectClass Encoded Exporter
HealthMonitor Incoming InvalidScan JournalError JournalFull JournalTooNew JournalUnusable Misconfigured
Options PartialFailure Problem QueueSourceOptions Record Rejected Request RetryPolicy ScanRequest Scanner ScannerOptions
ScribeExportError Secret SecretText Sink SinkError SinkOptions Size Source SourceError SourceOptions
StateOwned SystemClock Throttled Transient Triggered Undelivered Url Usage deliver_blocking register_scanner
register_sink register_source
"""


def test_the_public_names_are_these_and_no_others() -> None:
    assert scribe_export.__all__ == PUBLIC.split()
    assert set(scribe_export.__all__) <= set(dir(scribe_export))


@pytest.mark.parametrize("name", PUBLIC.split())
def test_each_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(scribe_export, name)
    if isinstance(value, type) or callable(value):
        assert value.__doc__


def test_every_error_is_public() -> None:
    from scribe_export import errors

    made = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert made <= set(scribe_export.__all__)


def test_a_name_that_is_not_public_is_told_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'scribe_export' has no attribute 'Exprter'"):
        scribe_export.Exprter  # noqa: B018 - looking it up is the test


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import scribe_export\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'scribe_export'}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_using_every_public_name_imports_no_cloud_sdk() -> None:
    code = (
        "import sys\n"
        "from scribe_export import *\n"
        "print(sorted({'boto3', 'botocore', 'google', 'redis', 'pika', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
