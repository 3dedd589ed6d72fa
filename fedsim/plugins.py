"""Finding, checking and building plugins: adversaries, attacks, data sets, models, ...

A plugin is any callable (class or function) whose parameters are its settings. It is named either
by an entry point of one of the groups below, so that another package adds its own without a change
here, or directly as ``module:attribute``. Its signature is its schema: settings are checked against
it, strictly, when the experiment is read.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticUserError,
    Tag,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails, PydanticSerializationError, SchemaError, to_jsonable_python

from fedsim.errors import FedsimError, PluginError, joined_faults, listed

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that is not known, in a model and in a dataclass."""


@dataclass(frozen=True)
class Group:
    """A kind of plugin: its entry points, and the parameters that fedsim fills in by itself."""

    entry_points: str
    provided: tuple[str, ...] = ()


GROUPS = {
    "adversaries": Group("fedsim.adversaries", provided=("victims", "participants")),
    "attacks": Group("fedsim.attacks"),
    "datasets": Group("fedsim.datasets"),
    "models": Group("fedsim.models", provided=("input_shape", "num_classes")),
    "objectives": Group("fedsim.objectives"),
    "trainers": Group("fedsim.trainers"),
}


def available(group: str) -> dict[str, EntryPoint]:
    """Return the installed plugins of a group (a key of `GROUPS`) by name.

    Raises
    ------
    PluginError
        If two installed packages claim the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUPS[group].entry_points):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise PluginError(
                f"two installed packages offer {group} {point.name!r} ({other.value} and "
                f"{point.value}); uninstall one of them"
            )
    return dict(sorted(found.items()))


def resolve(group: str, name: str) -> Callable[..., Any]:
    """Return the plugin called `name`: an entry point, or an object named ``module:attribute``.

    Raises
    ------
    PluginError
        If there is none, or importing it fails; the sentence lists the valid names.
    """
    if ":" in name:
        return _imported(name)
    points = available(group)
    if name not in points:
        raise PluginError(
            f"there is no {name!r} among the {group}; valid: {listed(points)}, or your own as "
            "module:attribute"
        )
    return _imported(points[name].value)


def _imported(reference: str) -> Callable[..., Any]:
    module_name, _, attribute = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # a third party's module may raise anything while it is imported
        raise PluginError(f"cannot import plugin {reference!r}: {_told(error)}") from error
    if not callable(found):
        raise PluginError(f"plugin {reference!r} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


_STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


@cache
def settings_schema(plugin: Callable[..., Any], provided: tuple[str, ...]) -> type[BaseModel]:
    """Return a strict pydantic model of a plugin's settings, read off its signature.

    Parameters that fedsim provides are settings too, but never missing.
    """
    try:
        parameters = inspect.signature(plugin, eval_str=True).parameters.values()
    except (TypeError, ValueError, NameError) as error:
        raise PluginError(f"cannot read the settings of plugin {plugin!r}: {error}") from error
    fields: dict[str, Any] = {}
    for p in parameters:
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            kind = p.annotation if _can_be_checked(p.annotation) else Any
            default = None if p.name in provided else ... if p.default is p.empty else p.default
            fields[p.name] = (kind, default)
    return create_model("Settings", __config__=_STRICT, **fields)


def _can_be_checked(annotation: Any) -> bool:
    """Return whether pydantic has a check for a type; it has none for a third party's protocol."""
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
) -> dict[str, Any]:
    """Return `settings` as the plugin's own types.

    Raises
    ------
    PluginError
        If a setting is unknown (the sentence lists the valid ones), missing, or of a wrong type.
    """
    schema = settings_schema(plugin, provided)
    try:
        # Through JSON: strict about types, yet a list may become a tuple and 1 a float.
        valid = schema.model_validate_json(json.dumps(dict(settings)))
    except (ValidationError, TypeError) as error:
        raise PluginError(f"{name}: {_sentence(error, schema)}") from error
    return {key: getattr(valid, key) for key in valid.model_fields_set}


def _told(error: Exception) -> str:
    """Return a third party's exception as part of a sentence, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def valid_keys(schema: type, location: Sequence[int | str]) -> tuple[str, ...]:
    """Return the keys that may stand at a place inside data of type `schema`.

    Parameters
    ----------
    schema
        A pydantic model or a dataclass.
    location
        Keys and positions from its root; those that lead nowhere further are passed over.
    """
    kinds: tuple[Any, ...] = ()
    for part in location:
        if (found := _fields(schema).get(str(part))) is not None:
            kinds = (found, *get_args(found))
        # A union's or a tuple's parts, of a union the tagged one; behind Annotated stands a type.
        branch = [kind for kind in kinds if Tag(str(part)) in getattr(kind, "__metadata__", ())]
        inside = [getattr(kind, "__origin__", kind) for kind in branch or kinds]
        schema = next((kind for kind in inside if _fields(kind)), schema)
    return tuple(_fields(schema))


def _fields(schema: type) -> dict[str, Any]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return {name: field.annotation for name, field in schema.model_fields.items()}
    return get_type_hints(schema) if is_dataclass(schema) else {}


def _sentence(error: ValidationError | TypeError, schema: type[BaseModel]) -> str:
    if isinstance(error, TypeError):
        return f"a setting is not plain YAML data ({error})"
    errors = error.errors(include_url=False)
    # A key that is not known explains one that is missing: it was misspelt.
    errors.sort(key=lambda one: one["type"] not in UNKNOWN_KEY)
    return joined_faults(list(dict.fromkeys(_fault(one, schema) for one in errors)))


def _fault(error: ErrorDetails, schema: type[BaseModel]) -> str:
    # pydantic puts the branch of a union in round brackets.
    key = ".".join(str(part) for part in error["loc"] if str(part)[:1] != "(")
    if error["type"] in UNKNOWN_KEY:
        return f"unknown setting {key!r}; valid: {listed(valid_keys(schema, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"setting {key!r} is missing"
    return f"setting {key!r} is {error['input']!r}: {error['msg']}"


def build(group: str, name: str, settings: Mapping[str, object], **provided: object) -> Any:
    """Return plugin `name` built with `settings`.

    Parameters
    ----------
    group, name, settings
        Which plugin, and its settings.
    provided
        Values for the group's provided parameters; a plugin gets those that it has parameters for,
        and a setting of the same name goes first.

    Raises
    ------
    PluginError
        If the plugin is unknown, its settings are not valid, or building it fails.
    """
    plugin = resolve(group, name)
    arguments = checked(plugin, name, settings, GROUPS[group].provided)
    wanted = settings_schema(plugin, GROUPS[group].provided).model_fields
    filled = {key: value for key, value in provided.items() if key in wanted} | arguments
    try:
        return plugin(**filled)
    except FedsimError:
        raise
    except Exception as error:  # a third party's plugin may raise anything while it is built
        raise PluginError(f"{name} cannot be built: {_told(error)}") from error


def check(group: str, name: str, settings: Mapping[str, object]) -> None:
    """Raise `PluginError` unless `build` would find the plugin and accept its settings."""
    checked(resolve(group, name), name, settings, GROUPS[group].provided)


def defaults(group: str, name: str) -> dict[str, Any]:
    """Return the settings that a plugin has when none is given, as plain data.

    Those that fedsim provides, and those that are not plain data, are left out.
    """
    provided = GROUPS[group].provided
    schema = settings_schema(resolve(group, name), provided)
    found: dict[str, Any] = {}
    for key, field in schema.model_fields.items():
        if key in provided or field.is_required():
            continue
        try:
            found[key] = to_jsonable_python(field.default)
        except PydanticSerializationError:
            continue
    return found


def summary(plugin: Callable[..., Any]) -> str:
    """Return the first line of a plugin's documentation, for listings."""
    return (inspect.getdoc(plugin) or "").partition("\n")[0]
