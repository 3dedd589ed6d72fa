"""The one-line summary of a plugin: the first line of its docstring, read from its source.

Importing a plugin to read its docstring takes seconds, as most plugins import torch. The source is
parsed instead, without importing the module or its parent packages. Only if the source does not
have the docstring, the plugin is imported.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MOST_STEPS = 5
"""The most re-exports that are followed from a name to its definition."""


def summary(plugin: Callable[..., Any]) -> str:
    """Return the first line of a plugin's documentation."""
    return (inspect.getdoc(plugin) or "").partition("\n")[0]


def summary_of(reference: str) -> str:
    """Return the first line of the documentation of ``module:attribute``.

    Raises
    ------
    Exception
        Any exception from importing the plugin, if its source does not have the docstring.
    """
    module, _, attribute = reference.partition(":")
    if found := _first_line(module, attribute):
        return found
    plugin: Any = import_module(module)
    for part in attribute.split("."):
        plugin = getattr(plugin, part)
    return summary(plugin)


def exported_names(module: str) -> tuple[str, ...]:
    """Return the names in a module's ``__all__``; none if there is no such module."""
    for node in _body(module):
        if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            try:
                return tuple(ast.literal_eval(node.value))
            except ValueError:
                return ()
    return ()


def source_file(module: str) -> Path | None:
    """Return the file of a module's source, without importing the module or its parents."""
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    if not below:
        return Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *below)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _first_line(module: str, attribute: str, steps: int = MOST_STEPS) -> str | None:
    """Return the first line of a definition's docstring, following re-exports."""
    for node in _body(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom) and steps:
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    return _first_line(_absolute(node, module), alias.name, steps - 1)
    return None


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """Return the absolute name of the module that an import statement imports from."""
    if not node.level:
        return node.module or ""
    file = source_file(module)
    depth = node.level - (file is not None and file.name == "__init__.py")
    package = module.rsplit(".", depth)[0] if depth else module
    return ".".join(filter(None, (package, node.module)))


def _body(module: str) -> Iterator[ast.stmt]:
    """Yield the statements of a module in reverse, as the last definition of a name counts."""
    yield from reversed(_parsed(module).body)


@cache
def _parsed(module: str) -> ast.Module:
    file = source_file(module)
    if file is None or file.suffix != ".py":
        return ast.Module([], [])
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])
