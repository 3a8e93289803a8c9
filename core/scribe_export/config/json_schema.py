"""The JSON Schema of the file, for editors: completion and checks for every connector that is installed."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from scribe_export.config.outer import Outer
from scribe_export.registry import Kind, Listed, connectors

_SECTIONS: dict[str, Kind] = {"sources": "sources", "destinations": "sinks", "scanner": "scanners"}
_REFERENCE = {"type": "string", "pattern": r"\$\{"}


def schema() -> dict[str, Any]:
    """Draft 2020-12. A connector whose SDK is missing is listed by name only."""
    listed = connectors()
    models: list[type[BaseModel]] = [Outer]
    models += [entry.connector.options_type for entry in listed if entry.connector]
    by_model, shared = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template="#/$defs/{model}"
    )
    defs: dict[str, Any] = shared.get("$defs", {})
    names = {key[0]: ref["$ref"].rpartition("/")[2] for key, ref in by_model.items()}
    for model in names:
        if model is not Outer:
            _let_connection_fill(defs[names[model]])
    top = defs.pop(names[Outer])
    for section, kind in _SECTIONS.items():
        entry_name = f"one of {kind}"
        defs[entry_name] = _choice([entry for entry in listed if entry.kind == kind], names)
        reference = {"$ref": f"#/$defs/{entry_name}"}
        top["properties"][section] = (
            {**top["properties"][section], "additionalProperties": reference} if kind != "scanners" else reference
        )
    connection = {"type": "object", "required": ["provider"], "properties": {"provider": {"type": "string"}}}
    top["properties"]["connections"]["additionalProperties"] = connection
    result = {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": defs}
    result["title"] = "scribe-export configuration"
    taken: dict[str, Any] = _with_references(result)
    return taken


def _choice(listed: list[Listed], names: dict[Any, str]) -> dict[str, Any]:
    branches = [
        {
            "if": {"properties": {"type": {"const": entry.name}}, "required": ["type"]},
            "then": {"$ref": f"#/$defs/{names[entry.connector.options_type]}"},
        }
        for entry in listed
        if entry.connector
    ]
    types = {"enum": [entry.name for entry in listed]}
    return {"type": "object", "required": ["type"], "properties": {"type": types}, "allOf": branches}


def _let_connection_fill(definition: dict[str, Any]) -> None:
    required = definition.pop("required", None)
    if required:
        definition["anyOf"] = [{"required": required}, {"required": ["connection"]}]


def _with_references(part: Any) -> Any:
    """Numbers, and text of a fixed form, may stand as a reference too."""
    if isinstance(part, list):
        return [_with_references(item) for item in part]
    if not isinstance(part, dict):
        return part
    done = {name: _with_references(value) for name, value in part.items()}
    # Under `properties`, "type" is an option's name and its value no text.
    kind = done.get("type") if isinstance(done.get("type"), str) else None
    if kind in {"integer", "number", "boolean"} or (kind == "string" and "pattern" in done):
        kept = {name: done.pop(name) for name in ("description", "title", "default") if name in done}
        return {**kept, "anyOf": [done, _REFERENCE]}
    return done
