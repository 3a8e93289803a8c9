"""The example classes of SCRIBE's integration guide, taken out of its text and run as they stand there."""

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).parents[1] / "guide" / "scribe-integration-guide.md"


def guide_classes(*names: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The classes of those names, run in one namespace that begins with `given`: what the guide imports around them.

    Raises LookupError if the guide has no such class.
    """
    namespace: dict[str, Any] = {"__name__": "guide", **given}
    for name in names:
        exec(compile(source_of(name), f"{GUIDE.name}:{name}", "exec"), namespace)  # noqa: S102 - the guide's own code
    return {name: namespace[name] for name in names}


def source_of(name: str) -> str:
    """A class as the guide prints it, with its decorators."""
    text = GUIDE.read_text("utf-8")
    found = re.search(rf"^(?:@\w+\n)*class {name}\b.*\n(?:(?:[ \t].*)?\n)*", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{GUIDE.name} has no class {name}")
    return textwrap.dedent(found[0])
