"""Finding a plugin by its name, and building it with a user's settings."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dis import opmap
from functools import cache
from types import TracebackType
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError, to_jsonable_python

from fedsim.errors import FedsimError, PluginError, listed, shown
from fedsim.plugins.error_sentences import one_line, raised_in
from fedsim.plugins.groups import GROUPS, available
from fedsim.plugins.module_search import searched
from fedsim.plugins.settings import checked, settings_schema

Contract = TypeVar("Contract")
_NO_MEMORY = "can't allocate memory"


def resolve(group: str, name: str) -> Callable[..., Any]:
    """Return the plugin `name`: an entry point, or a reference ``module:attribute``.

    Raises
    ------
    PluginError
        If there is no such plugin, or importing it fails. The sentence lists the valid names.
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
    except Exception as error:  # importing a third party's module may raise anything
        missing = isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]
        where = f"; it was looked for in {searched()}" if missing else ""
        message = f"cannot import plugin {shown(reference)}: {one_line(error)}{where}"
        raise PluginError(message) from error
    if not callable(found):
        raise PluginError(f"plugin {shown(reference)} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


def build(group: str, name: str, settings: Mapping[str, object], **provided: object) -> Any:
    """Return plugin `name` built with `settings`.

    Parameters
    ----------
    group, name, settings
        The plugin and its settings.
    provided
        Values for the group's provided parameters and arguments. A plugin gets those for which it
        has a parameter; a setting of the same name takes precedence.

    Raises
    ------
    PluginError
        If the plugin is unknown, its settings are not valid, or building it fails.
    """
    plugin = resolve(group, name)
    given = checked_for(group, plugin, name, settings)
    wanted = _parameter_names(plugin)
    filled = {key: value for key, value in provided.items() if key in wanted} | given
    try:
        return plugin(**filled)
    except FedsimError:
        raise
    except Exception as error:  # building a third party's plugin may raise anything
        raise PluginError(f"{name} {_why_not_built(plugin, error)}") from error


@cache
def _parameter_names(plugin: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(plugin).parameters)


def build_member(
    group: str, name: str, settings: Mapping[str, object], contract: type[Contract]
) -> Contract:
    """Build a plugin as `build` does, and check that the object is of its group's contract.

    Parameters
    ----------
    group, name, settings
        The plugin and its settings.
    contract
        The class that the group's plugins derive from; a name of `fedsim`.

    Raises
    ------
    PluginError
        As for `build`, and if the object is of another class.
    """
    built = build(group, name, settings)
    if not isinstance(built, contract):
        raise PluginError(
            f"{GROUPS[group].template} {name!r} gave a {type(built).__name__}; a plugin of group "
            f"{group} must derive from fedsim.{contract.__name__}"
        )
    return built


def _why_not_built(plugin: Callable[..., Any], error: Exception) -> str:
    """Return why a plugin cannot be built, as a text that follows its name.

    A `ValueError` from its own package means that the plugin refuses its settings, and its text is
    complete.
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
        return "cannot be built: this machine has too little memory for it"
    return f"cannot be built: {one_line(error)}{raised_in(error)}"


def _raises(last: TracebackType, module: str) -> bool:
    """Return whether an exception comes from a ``raise`` statement in a module's package.

    `last` is the innermost entry of its traceback, which does not show code of libraries in C.
    """
    code, package = last.tb_frame.f_code, last.tb_frame.f_globals.get("__name__", "")
    raising = code.co_code[last.tb_lasti] == opmap["RAISE_VARARGS"]
    return raising and package.partition(".")[0] == module.partition(".")[0]


def check(group: str, name: str, settings: Mapping[str, object]) -> None:
    """Raise `PluginError` unless the plugin exists and its settings are valid."""
    checked_for(group, resolve(group, name), name, settings)


def checked_for(
    group: str, plugin: Callable[..., Any], name: str, settings: Mapping[str, object]
) -> dict[str, Any]:
    """Return the checked settings of a plugin that is a member of a group; see `checked`.

    Raises
    ------
    PluginError
        As for `checked`.
    """
    return checked(plugin, name, settings, GROUPS[group].provided, GROUPS[group].arguments)


def defaults(group: str, name: str) -> dict[str, Any]:
    """Return the default settings of a plugin, as plain data.

    Parameters that fedsim provides, and defaults that are not plain data, are left out.
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
