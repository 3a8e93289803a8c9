"""One promise broken on purpose by a change of a few characters, and the one test that has to notice."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED_SUITES = ROOT / "core" / "scribe_export" / "testing"
"""Where a contract test finds what its class inherits."""


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in `path` (from the repository's root) and becomes `new`; then `test`, a node id, has to fail.

    `promise` is what no longer holds, as an operator would put it; `rule` says where it was given.
    """

    name: str
    promise: str
    rule: str
    path: str
    old: str
    new: str
    test: str

    @property
    def source_root(self) -> str:
        """The root of the packages that the file belongs to: ``core``, ``connectors`` or ``infra/local``."""
        return next(root for root in ("core", "connectors", "infra/local") if self.path.startswith(f"{root}/"))

    def mutated(self) -> str:
        """The file with the change in it; raises `Inapplicable`."""
        file = ROOT / self.path
        if not file.is_file():
            raise Inapplicable(f"there is no {self.path} any more")
        text = file.read_text(encoding="utf-8")
        if (found := text.count(self.old)) != 1:
            raise Inapplicable(f"its old text stands {found} times in {self.path}, not once")
        changed = text.replace(self.old, self.new)
        try:
            unchanged = ast.dump(ast.parse(changed)) == _shape(text)
        except SyntaxError as error:
            raise Inapplicable(f"with it {self.path} is no Python: {error}") from None
        if unchanged:
            raise Inapplicable("it changes nothing that runs")
        return changed

    def check(self) -> None:
        """Raises `Inapplicable` if the code or the test that it is about is gone."""
        self.mutated()
        file, _, names = self.test.partition("::")
        if not (ROOT / file).is_file():
            raise Inapplicable(f"there is no {file}")
        *classes, name = names.partition("[")[0].split("::")
        if name not in _tests_of(ROOT / file, classes):
            raise Inapplicable(f"there is no {self.test}")


class Inapplicable(Exception):
    """The mutant has to be written anew: the message says why."""


@cache
def _shape(text: str) -> str:
    return ast.dump(ast.parse(text))


@cache
def _definitions(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body


def _tests_of(file: Path, classes: list[str]) -> set[str]:
    """The tests in a file, or those of one of its classes, with what the suites that we ship give it."""
    body = _definitions(file)
    if not classes:
        return set(_functions(body))
    found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == classes[0]), None)
    if found is None:
        return set()
    shipped = (node for path in SHIPPED_SUITES.glob("*.py") for node in _definitions(path)) if found.bases else ()
    suites = [node for node in shipped if isinstance(node, ast.ClassDef)]
    return {name for node in (found, *suites) for name in _functions(node.body)}


def _functions(body: list[ast.stmt]) -> Iterator[str]:
    return (node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
