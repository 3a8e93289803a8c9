"""Names of durable executions.

https://docs.aws.amazon.com/lambda/latest/dg/durable-execution-idempotency.html
"""

import hashlib
import re

from scribe_export.model import Record
from scribe_export.text_template import TextTemplate

# DurableExecutionName in https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (seen 2026-11-24)
MAX_NAME = 64
ALREADY_STARTED = "DurableExecutionAlreadyStartedException"
_UNSAFE = re.compile(rb"[^A-Za-z0-9-]")


def execution_name(template: str, record: Record, generation: int = 0) -> str:
    """At most 64 letters, digits, ``-`` and ``_``; other characters are escaped, and a longer name is hashed.

    `generation` counts the executions under earlier names that are known to have failed. Raises `Rejected`.
    """
    text = TextTemplate.parse(template).render(record).encode("utf-8", "surrogatepass")
    # "_v" and "_g" are nothing that the escapes make.
    name = _UNSAFE.sub(lambda match: b"_%02X" % match[0][0], text).decode("ascii")
    if record.version > 1:
        name += f"_v{record.sha256[:12]}"
    if generation:
        name += f"_g{generation}"
    return name if len(name) <= MAX_NAME else hashlib.sha256(name.encode()).hexdigest()


def of_content(name: str, record: Record) -> str:
    """The name for a scan whose own name holds other content."""
    longer = f"{name}_c{record.sha256[:12]}"
    return longer if len(longer) <= MAX_NAME else hashlib.sha256(longer.encode()).hexdigest()
