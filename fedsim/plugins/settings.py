"""Checking a user's settings of a plugin strictly against the plugin's signature.

A parameter is a setting, with the parameter's annotation as its type and the same default.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticUserError,
    Tag,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails, SchemaError

from fedsim.errors import FedsimError, PluginError, listed, shown
from fedsim.plugins.plain_data import as_json

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""The error types of pydantic for an unknown key, in a model and in a dataclass."""

_STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


@cache
def settings_schema(
    plugin: Callable[..., Any], provided: tuple[str, ...], arguments: tuple[str, ...] = ()
) -> type[BaseModel]:
    """Return a strict pydantic model of a plugin's settings, from its signature.

    Parameters that fedsim provides are settings, too, but are never missing. Its `arguments` are
    not settings.
    """
    try:
        parameters = inspect.signature(plugin, eval_str=True).parameters.values()
    except (TypeError, ValueError, NameError) as error:
        name = f"{plugin.__module__}:{getattr(plugin, '__qualname__', type(plugin).__name__)}"
        raise PluginError(f"cannot read the settings of plugin {name}: {error}") from error
    fields: dict[str, Any] = {}
    for p in parameters:
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in arguments:
            kind = p.annotation if _can_be_checked(p.annotation) else Any
            default = None if p.name in provided else ... if p.default is p.empty else p.default
            fields[p.name] = (kind, default)
    return create_model("Settings", __config__=_STRICT, **fields)


def _can_be_checked(annotation: Any) -> bool:
    """Return whether pydantic can check a type; it cannot check a third party's protocol."""
    try:
        create_model("Probe", __config__=_STRICT, probe=(annotation, ...))
    except (PydanticUserError, SchemaError):
        return False
    return annotation is not inspect.Parameter.empty


def checked(
    plugin: Callable[..., Any],
    name: str,
    settings: Mapping[str, object],
    provided: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check settings, and return them converted to the types of the plugin's parameters.

    Raises
    ------
    PluginError
        If a setting is unknown (the sentence lists the valid ones), missing, or of a wrong type.
    """
    schema = settings_schema(plugin, provided, arguments)
    try:
        # Validated as JSON, which is strict about types but takes a list as a tuple and 1 as a
        # float.
        valid = schema.model_validate_json(as_json(dict(settings)))
    except ValidationError as error:
        hint = _hint(plugin, arguments)
        raise PluginError.of_all(_faults(error, schema, hint), f"{name}: ") from error
    except ValueError as error:
        raise PluginError(f"{name}: setting {error}") from error
    except FedsimError as error:  # raised by the class of a setting
        raise PluginError(f"{name}: {error}") from error
    return {key: getattr(valid, key) for key in valid.model_fields_set}


def valid_keys(schema: type, location: Sequence[int | str]) -> tuple[str, ...]:
    """Return the keys that are valid at a location inside data of type `schema`.

    Parameters
    ----------
    schema
        A pydantic model or a dataclass.
    location
        Keys and positions from the root; those that do not lead to a nested schema are skipped.
    """
    kinds: tuple[Any, ...] = ()
    for part in location:
        if (found := _fields(schema).get(str(part))) is not None:
            kinds = (found, *get_args(found))
        # The parts of a union (for a tagged union the tagged one) or of a tuple; the first argument
        # of Annotated is the type.
        branch = [kind for kind in kinds if Tag(str(part)) in getattr(kind, "__metadata__", ())]
        inside = [getattr(kind, "__origin__", kind) for kind in branch or kinds]
        schema = next((kind for kind in inside if _fields(kind)), schema)
    return tuple(_fields(schema))


def _fields(schema: type) -> dict[str, Any]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return {name: field.annotation for name, field in schema.model_fields.items()}
    return get_type_hints(schema) if is_dataclass(schema) else {}


def _hint(plugin: Callable[..., Any], arguments: tuple[str, ...]) -> str:
    """Return what follows a missing setting: somebody guessed the arguments of a function."""
    if not arguments or not inspect.isfunction(plugin):
        return ""
    if set(arguments) & inspect.signature(plugin).parameters.keys():
        return ""
    return f"; fedsim gives a function here {listed(arguments)}, other arguments are settings"


def _faults(error: ValidationError, schema: type[BaseModel], hint: str) -> list[str]:
    errors = error.errors(include_url=False)
    # An unknown key is probably the misspelt name of a missing one, so only it is reported.
    errors.sort(key=lambda one: one["type"] not in UNKNOWN_KEY)
    return list(dict.fromkeys(_fault(one, schema, hint) for one in errors))


def _fault(error: ErrorDetails, schema: type[BaseModel], hint: str) -> str:
    # pydantic puts the branch of a union in parentheses.
    key = ".".join(str(part) for part in error["loc"] if str(part)[:1] != "(")
    if error["type"] in UNKNOWN_KEY:
        return f"unknown setting {key!r}; valid: {listed(valid_keys(schema, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"setting {key!r} is missing{hint}"
    return f"setting {key!r} is {shown(error['input'])}: {error['msg']}"
