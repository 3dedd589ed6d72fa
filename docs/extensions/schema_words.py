"""A JSON schema in words: what a setting takes, and what it is when it is not given."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]
Schemas = Mapping[str, Schema]

ONE = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "string": "a text",
    "null": "`null`",
}
MANY = {"integer": "whole numbers", "number": "numbers", "string": "texts"}
BELOW = "see its own settings"


def type_in_words(schema: Schema, defs: Schemas, many: bool = False) -> str:
    """Return what may be given where `schema` holds.

    Parameters
    ----------
    schema
        Of one setting.
    defs
        The schemas that it names.
    many
        Whether it is said of the parts of a list.
    """
    *first, last = dict.fromkeys(_alternatives(schema, defs, many))
    return f"{', '.join(first)} or {last}" if first else last


def _alternatives(schema: Schema, defs: Schemas, many: bool) -> Iterator[str]:
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        for part in parts:
            yield from _alternatives(part, defs, many)
    elif "$ref" in schema:
        yield _named(schema["$ref"].rpartition("/")[2], defs, many)
    elif "enum" in schema or "const" in schema:
        yield from (f"`{value}`" for value in schema.get("enum") or [schema["const"]])
    elif "prefixItems" in schema:
        parts = schema["prefixItems"]
        yield f"a list of {len(parts)} {type_in_words(parts[0], defs, many=True)}"
    elif schema.get("type") == "array":
        yield f"a list of {type_in_words(schema['items'], defs, many=True)}"
    elif schema.get("type") == "object":
        yield f"a mapping of rounds to {type_in_words(schema['additionalProperties'], defs)}"
    else:
        kind = schema["type"]
        yield ((MANY if many else ONE).get(kind) or ONE[kind]) + _bounds(schema)


def _named(name: str, defs: Schemas, many: bool) -> str:
    """Return what is given for settings inside settings."""
    if name.endswith(("Settings", "Changes")):  # those of attacks, on the page by this name
        return f"[{name}](#{name.lower()})"
    if "name" in defs[name]["properties"]:
        return "names, or mappings" if many else "a name, or a mapping with `name` and settings"
    if "together" in defs[name]["properties"]:
        return "names, mappings, or lists of those"
    return "a mapping"


def _bounds(schema: Schema) -> str:
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}"
    return f" from {schema['minimum']:g} on" if "minimum" in schema else ""


def default_in_words(schema: Schema) -> str:
    """Return the default of a setting that has one."""
    value = schema.get("default")
    if "default" not in schema or (isinstance(value, dict) and value and "name" not in value):
        return BELOW
    if value in ("", [], {}):
        return "none"
    if isinstance(value, dict):
        value = value["name"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
