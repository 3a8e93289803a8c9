"""What the program's own code never does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.secret_slots import plain_texts

import scribe_connectors
import scribe_export
from scribe_export.registry import connectors

PACKAGES = [Path(package.__file__ or "").parent for package in (scribe_export, scribe_connectors)]
FILES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "code", "codeop"}
CALLED = {"eval", "exec", "compile", "__import__", "breakpoint"}
ATTRIBUTES = {
    "yaml.load", "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "os.system", "os.popen", "os.execv", "os.execvp",
    "subprocess.getoutput", "ssl._create_unverified_context", "ssl.CERT_NONE", "ssl.CERT_OPTIONAL", "tempfile.mktemp",
    "requests.packages.urllib3.disable_warnings", "urllib3.disable_warnings",
}  # fmt: skip
OFF = {"verify": False, "verify_ssl": False, "check_hostname": False, "ssl_check_hostname": False, "shell": True}
PLAIN_GRPC = {"_rpc.py"}
"""Where a channel without TLS is made: for an `endpoint_url` that the operator wrote with http://."""


def found(tree: ast.AST) -> Iterator[str]:
    """What of the above stands in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").partition(".")[0] in MODULES:
                yield str(node.module)
            yield from (f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in ATTRIBUTES)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ATTRIBUTES:
            yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLED:
                yield f"{node.func.id}()"
            yield from (
                f"{word.arg}={word.value.value}"
                for word in node.keywords
                if word.arg in OFF and isinstance(word.value, ast.Constant) and word.value.value is OFF[word.arg]
            )
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                name = target.attr if isinstance(target, ast.Attribute) else ""
                if name in OFF and isinstance(node.value, ast.Constant) and node.value.value is OFF[name]:
                    yield f"{name} = {node.value.value}"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from marshal import loads", "import yaml\nyaml.load(x)", "from yaml import unsafe_load",
        "eval(x)",
        "exec(x)", "get(url, verify=False)", "context.check_hostname = False", "context.verify_mode = ssl.CERT_NONE",
        "subprocess.run(x, shell=True)", "import os\nos.system(x)",
    ],
)  # fmt: skip
def test_each_of_it_would_be_found(text: str) -> None:
    assert list(found(ast.parse(text)))


def test_nothing_is_unpickled_evaluated_or_sent_without_a_check_of_certificates() -> None:
    wrong = {}
    for path in FILES:
        text = path.read_text("utf-8")
        here = list(found(ast.parse(text)))
        if "insecure_channel" in text and path.name not in PLAIN_GRPC:
            here.append("insecure_channel")
        if here:
            wrong[f"{path.parent.name}/{path.name}"] = here
    assert len(FILES) > 200
    assert wrong == {}


def test_no_option_switches_the_check_of_certificates_off() -> None:
    names = {path for _, path in plain_texts()} | {
        name for listed in connectors() if listed.connector for name in listed.connector.options_type.model_fields
    }
    assert [name for name in names if re.search(r"verify|insecure|skip_tls|no_check|unsafe", name)] == []
