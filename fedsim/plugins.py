"""Finding, checking and building plugins: data sets, models, strategies, adversaries, attacks, ...

A plugin is any callable (class or function) whose parameters are its settings. It is named either
by an entry point of a group of `fedsim.plugin_groups`, so that another package adds its own without
a change here, or directly as ``module:attribute``. Its signature is its schema: settings are
checked against it, strictly, when the experiment is read.
"""

import importlib
import inspect
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from dis import opmap
from functools import cache
from pathlib import Path
from types import TracebackType
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

from fedsim.errors import FedsimError, PluginError, joined_faults, listed, shown
from fedsim.module_search import searched
from fedsim.plain_data import as_json
from fedsim.plugin_docs import summary as summary
from fedsim.plugin_groups import GROUPS as GROUPS
from fedsim.plugin_groups import Group as Group
from fedsim.plugin_groups import available as available

OURS = ("fedsim", "adversaries")
_NO_MEMORY = "can't allocate memory"
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that is not known, in a model and in a dataclass."""


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
            f"there is no {shown(name)} among the {group}; valid: {listed(points)}, or your own as "
            "module:attribute"
        )
    return _imported(points[name].value)


def _imported(reference: str) -> Callable[..., Any]:
    module_name, _, attribute = reference.partition(":")
    if not all((*module_name.split("."), *attribute.split("."))):
        raise PluginError(f"cannot import plugin {shown(reference)}: write it as module:attribute")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # a third party's module may raise anything while it is imported
        missing = isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]
        where = f"; it was looked for in {searched()}" if missing else ""
        told = f"cannot import plugin {shown(reference)}: {one_line(error)}{where}"
        raise PluginError(told) from error
    if not callable(found):
        raise PluginError(f"plugin {shown(reference)} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


_STRICT = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


@cache
def settings_schema(
    plugin: Callable[..., Any], provided: tuple[str, ...], arguments: tuple[str, ...] = ()
) -> type[BaseModel]:
    """Return a strict pydantic model of a plugin's settings, read off its signature.

    Parameters that fedsim provides are settings too, but never missing. Its `arguments` are none.
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
    arguments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return `settings` as the plugin's own types.

    Raises
    ------
    PluginError
        If a setting is unknown (the sentence lists the valid ones), missing, or of a wrong type.
    """
    schema = settings_schema(plugin, provided, arguments)
    try:
        # Through JSON: strict about types, yet a list may become a tuple and 1 a float.
        valid = schema.model_validate_json(as_json(dict(settings)))
    except ValidationError as error:
        raise PluginError(f"{name}: {_sentence(error, schema)}") from error
    except ValueError as error:
        raise PluginError(f"{name}: setting {error}") from error
    except FedsimError as error:  # of a class that a setting is
        raise PluginError(f"{name}: {error}") from error
    return {key: getattr(valid, key) for key in valid.model_fields_set}


def one_line(error: Exception) -> str:
    """Return a third party's exception as part of a sentence, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def raised_in(error: Exception) -> str:
    """Return " (file, line n)" of the last line outside of fedsim that an exception came through.

    The libraries that a plugin calls are passed over, so that it is a line of the plugin's.
    """
    theirs = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in OURS
        and not {"site-packages", "dist-packages"} & {*Path(frame.f_code.co_filename).parts}
        and not frame.f_code.co_filename.startswith(("<", sysconfig.get_path("stdlib")))
    ]
    if not theirs:
        return ""
    file, line = theirs[-1]
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f" ({shown}, line {line})"


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


def _sentence(error: ValidationError, schema: type[BaseModel]) -> str:
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
    return f"setting {key!r} is {shown(error['input'])}: {error['msg']}"


def build(group: str, name: str, settings: Mapping[str, object], **provided: object) -> Any:
    """Return plugin `name` built with `settings`.

    Parameters
    ----------
    group, name, settings
        Which plugin, and its settings.
    provided
        Values for the group's provided parameters and arguments; a plugin gets those that it has
        parameters for, and a setting of the same name goes first.

    Raises
    ------
    PluginError
        If the plugin is unknown, its settings are not valid, or building it fails.
    """
    plugin = resolve(group, name)
    given = checked_for(group, plugin, name, settings)
    wanted = inspect.signature(plugin).parameters
    filled = {key: value for key, value in provided.items() if key in wanted} | given
    try:
        return plugin(**filled)
    except FedsimError:
        raise
    except Exception as error:  # a third party's plugin may raise anything while it is built
        raise PluginError(f"{name} {_why_not_built(plugin, error)}") from error


def _why_not_built(plugin: Callable[..., Any], error: Exception) -> str:
    """Return why a plugin cannot be built, behind its name.

    By a `ValueError` of its own package a plugin refuses its settings: the text serves.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if (
        last is not None
        and _raises(last, str(getattr(plugin, "__module__", "")))
        and type(error) is ValueError
        and str(error)
    ):
        return f"cannot be built: {' '.join(str(error).split())}"
    if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
        return "cannot be built: this machine has not the memory for it"
    return f"cannot be built: {one_line(error)}{raised_in(error)}"


def _raises(last: TracebackType, module: str) -> bool:
    """Return whether an exception came out of a ``raise`` of a module's package.

    `last` is the innermost part of its traceback, which does not show what a library in C raises.
    """
    code, package = last.tb_frame.f_code, last.tb_frame.f_globals.get("__name__", "")
    raising = code.co_code[last.tb_lasti] == opmap["RAISE_VARARGS"]
    return raising and package.partition(".")[0] == module.partition(".")[0]


def check(group: str, name: str, settings: Mapping[str, object]) -> None:
    """Raise `PluginError` unless `build` would find the plugin and accept its settings."""
    checked_for(group, resolve(group, name), name, settings)


def checked_for(
    group: str, plugin: Callable[..., Any], name: str, settings: Mapping[str, object]
) -> dict[str, Any]:
    """Return `checked` settings of a plugin as a member of a group.

    Raises
    ------
    PluginError
        As `checked`.
    """
    return checked(plugin, name, settings, GROUPS[group].provided, GROUPS[group].arguments)


def defaults(group: str, name: str) -> dict[str, Any]:
    """Return the settings that a plugin has when none is given, as plain data.

    Those that fedsim provides, and those that are not plain data, are left out.
    """
    provided = GROUPS[group].provided
    schema = settings_schema(resolve(group, name), provided, GROUPS[group].arguments)
    found: dict[str, Any] = {}
    for key, field in schema.model_fields.items():
        if key in provided or field.is_required():
            continue
        try:
            found[key] = to_jsonable_python(field.default)
        except PydanticSerializationError:
            continue
    return found
