"""The code of SCRIBE's integration guide, taken out of its text section by section and run as it stands there."""

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

GUIDE = Path(__file__).parents[1] / "guide" / "scribe-integration-guide.md"
EXAMPLE_KEY = "your-api-key"
"""The API key of its usage examples."""

# The guide's text has no fences. Nothing but code begins like this, and within code every other line is indented.
_CODE = re.compile(r"(import|from|class|def|async def|if) |@|#")
_SHARED = ("ScanConfig", "ScribeClient")
"""What the sections after the first take from it without saying so."""

Defaults = Mapping[str, Mapping[str, Any]]
"""By class and parameter: what its constructor takes when nobody says otherwise, in place of what the guide has there."""


@dataclass(frozen=True)
class Section:
    """The code under one heading; `line` is where it begins."""

    title: str
    line: int
    source: str

    def tree(self) -> ast.Module:
        """With the line numbers of the guide, so that tracebacks show its lines."""
        return ast.increment_lineno(ast.parse(self.source, str(GUIDE)), self.line - 1)

    def definitions(self) -> list[str]:
        """What it defines: ``Class``, ``Class.method``, ``function``, and its usage example as ``Title: main``.

        A constructor, and what enters and leaves a ``with``, goes with its class.
        """
        found = []
        for node in self.tree().body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(f"{self.title}: main" if node.name == "main" else node.name)
            if isinstance(node, ast.ClassDef):
                methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
                found += [node.name, *(f"{node.name}.{one}" for one in methods if not one.startswith("__"))]
        return found

    def load(self, *, name: str = "guide", defaults: Defaults | None = None, **given: Any) -> Any:
        """Run it; the module that it becomes. With the name ``__main__`` its usage example runs too.

        It finds nothing but what it imports, `given`, and the first section's ScanConfig and ScribeClient.
        """
        module = ModuleType(name)
        if self is not sections()[0]:
            used = {node.id for node in ast.walk(self.tree()) if isinstance(node, ast.Name)} & set(_SHARED)
            first = sections()[0].load(defaults=defaults) if used else None
            vars(module).update({shared: getattr(first, shared) for shared in used})
        vars(module).update(given)
        # One statement after another, so that a class has its defaults before the usage example makes one.
        for statement in self.tree().body:
            exec(compile(ast.Module([statement], []), str(GUIDE), "exec"), vars(module))  # noqa: S102 - the guide's own code
            if isinstance(statement, ast.ClassDef):
                _set_defaults(getattr(module, statement.name), (defaults or {}).get(statement.name, {}))
        return module


@cache
def sections() -> list[Section]:
    """All code of the guide, in its order."""
    found: list[Section] = []
    heading, start, code = "", 0, list[str]()
    for number, line in enumerate([*GUIDE.read_text("utf-8").splitlines(), "The end"], 1):
        if _CODE.match(line) or (code and (not line or line[0] == " ")):
            start = start if code else number
            code.append(line)
        elif line and line[0] != " ":
            if code:
                found.append(Section(heading, start, "\n".join(code)))
            heading, code = line, []
    return found


def load(title: str, *, name: str = "guide", defaults: Defaults | None = None, **given: Any) -> Any:
    """`Section.load` of the section under that heading. Raises KeyError if the guide has none."""
    return {one.title: one for one in sections()}[title].load(name=name, defaults=defaults, **given)


def _set_defaults(made: Any, wanted: Mapping[str, Any]) -> None:
    if wanted:
        constructor = made.__init__
        assert isinstance(constructor, FunctionType)
        named = [one for one in inspect.signature(constructor).parameters.values() if one.default is not one.empty]
        assert wanted.keys() <= {one.name for one in named}
        constructor.__defaults__ = tuple(wanted.get(one.name, one.default) for one in named)
