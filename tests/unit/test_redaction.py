"""What others say back of a secret is not passed on."""

import subprocess
import sys

import pytest

from scribe_export.errors import Misconfigured, ScribeExportError, Transient
from scribe_export.options import Secret
from scribe_export.redaction import redacted


@pytest.mark.parametrize("secret", ["p4ssword-of-tests", 'with "quotes"\\ of tests', "grüße\tof tests"])
@pytest.mark.parametrize("kind", [ScribeExportError, Misconfigured, Transient])
def test_no_message_of_an_error_holds_a_secret(secret: str, kind: type[ScribeExportError]) -> None:
    Secret(secret)
    for said in (secret, repr(secret), f"AUTH {secret}!"):
        told = str(kind(f"the service said: {said}"))
        assert secret not in told
        assert "the service said: " in told
        assert "***" in told


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    Secret("alike-begin")
    Secret("alike-begin-and-more")
    assert redacted("alike-begin-and-more alike-begin") == "*** ***"


def test_a_short_secret_does_not_take_words_apart() -> None:
    Secret("guest")
    assert redacted("guest was refused") == "guest was refused"


SCRIPT = """
import logging, structlog
from scribe_export import logs
from scribe_export.options import Secret
logs.configure("debug")
Secret("p4ssword-of-tests")
logging.getLogger("an.sdk").warning("sent %s", "p4ssword-of-tests")
try:
    raise ValueError("p4ssword-of-tests")
except ValueError:
    structlog.get_logger().exception("a bug", header={"auth": "p4ssword-of-tests"})
"""


def test_no_line_of_the_log_holds_a_secret_whoever_writes_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "p4ssword" not in done.stderr
    assert done.stderr.count("***") == 3 + done.stderr.count("raise ValueError(***")
