"""Configs as text."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the overridden method's signature
        """A config repeats itself: aliases are refused there."""
        return True


def yaml_text(values: Mapping[str, Any]) -> str:
    """A mapping in YAML, in its own order."""
    return yaml.dump(dict(values), Dumper=_Plain, sort_keys=False, width=120)
