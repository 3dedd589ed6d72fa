"""Writing a plugin's package: with valid names, and without overwriting files.

The templates are in folders beside this module: those of each kind, and ``common`` ones. The file
name of a template is that of the written file, with ``MODULE`` for the plugin's name.
"""

import builtins
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from jinja2 import Environment, StrictUndefined

import fedsim
from fedsim import plugins
from fedsim.errors import FedsimError, PluginError, listed

LONGEST_NAME = 40
EXPERIMENTS = ("quickstart", "images", "csv", "text", "flower-app")
"""The experiments that can be written."""

SUFFIX = ".jinja"
COMMON = "common"
TEMPLATES = {"server": "adversaries", "participant": "adversaries"} | {
    group.template: name for name, group in plugins.GROUPS.items() if group.template
}
"""The templates, and the group of the plugin that each makes."""


@dataclass(frozen=True)
class Names:
    """The names of a plugin: in an experiment, as a module, and as a class."""

    name: str
    module: str
    class_name: str
    words: str
    group: str
    fedsim_version: str


def write_package(template: str, name: str, folder: Path) -> tuple[Path, ...]:
    """Write the package of a new plugin, all of it or nothing, and return its files.

    Parameters
    ----------
    template
        A key of `TEMPLATES`.
    name
        The name of the plugin in experiments: lower-case letters and digits with dashes.
    folder
        The target: a folder that does not exist yet, or is empty.

    Raises
    ------
    FedsimError
        If the name is invalid or taken, or the folder is not empty or cannot be written.
    """
    names = names_of(template, name)
    require_empty(folder)
    _require_free(names)
    values = asdict(names) | {"template": template, "kind": plugins.GROUPS[names.group].member}
    return write_files(folder, dict(rendered((COMMON, template), values, names.module)))


def write_experiment(kind: str, target: Path) -> Path:
    """Write a commented experiment to start from, and return its file.

    Parameters
    ----------
    kind
        One of `EXPERIMENTS`.
    target
        The target: a file that does not exist yet.

    Raises
    ------
    FedsimError
        If there is no such kind, or the file exists or cannot be written.
    """
    if kind not in EXPERIMENTS:
        raise FedsimError(f"there is no experiment {kind!r} to write; valid: {listed(EXPERIMENTS)}")
    if target.exists():
        raise FedsimError(f"{target} is there already, and nothing is overwritten; choose --out")
    template = files(fedsim) / "scaffold" / "templates" / "experiments" / f"{kind}.yaml"
    text = template.read_text(encoding="utf-8")
    return write_files(target.parent, {Path(target.name): text})[0]


def require_empty(folder: Path) -> None:
    """Raise `FedsimError` unless a folder is missing or empty."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FedsimError(f"{folder} is no folder; choose another --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise FedsimError(
            f"{folder} is not empty, and nothing is overwritten; choose another --out"
        )


def write_files(folder: Path, texts: Mapping[Path, str]) -> tuple[Path, ...]:
    """Write texts below a folder, by their paths in it, and return where they are.

    Raises
    ------
    FedsimError
        If one of them exists already, or cannot be written.
    """
    try:
        for path, text in texts.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise FedsimError(f"cannot write into {folder}: {error}") from error
    return tuple(folder / path for path in texts)


def names_of(template: str, name: str) -> Names:
    """Return a plugin's names.

    Raises
    ------
    FedsimError
        If the name cannot be one of a plugin, a module and a class.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST_NAME:
        raise FedsimError(
            f"{name!r} cannot be a plugin's name; valid: small letters and digits with single "
            f"dashes between, a letter first, at most {LONGEST_NAME} characters, as in noisy-server"
        )
    module, class_name = name.replace("-", "_"), name.title().replace("-", "")
    taken = {*fedsim.__all__, *dir(builtins), *keyword.kwlist}
    reserved = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist, "conftest", "tests"}
    if class_name in taken or module in reserved or module.startswith("test_"):
        raise FedsimError(
            f"{name!r} would hide something of that name in Python, pytest or fedsim; choose a "
            f"name of two words, as in my-{name}"
        )
    group = TEMPLATES[template]
    return Names(name, module, class_name, name.replace("-", " "), group, version("fedsim"))


def _require_free(names: Names) -> None:
    """Raise `PluginError` if an installed plugin or package has the name."""
    if names.name in plugins.available(names.group):
        raise PluginError(
            f"one of the {names.group} is called {names.name!r} already; choose another name "
            f"(taken: {listed(plugins.available(names.group))})"
        )
    found = importlib.util.find_spec(names.module)
    if found is not None and found.origin is not None:
        raise PluginError(
            f"there is a Python module {names.module} already ({found.origin}); choose another name"
        )


def rendered(
    folders: Iterable[str], values: Mapping[str, object], module: str = ""
) -> Iterator[tuple[Path, str]]:
    """Yield the files that templates make, by their paths in what is written.

    Parameters
    ----------
    folders
        Those of the templates.
    values
        What the templates name.
    module
        What stands for MODULE in the names of templates.
    """
    environment = Environment(
        autoescape=False,  # noqa: S701 - Python, TOML and YAML, and names are letters and dashes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates = files(fedsim) / "scaffold" / "templates"
    for folder in folders:
        for path, found in _walked(templates / folder, Path()):
            target = Path(str(path).removesuffix(SUFFIX).replace("MODULE", module))
            text = environment.from_string(found.read_text(encoding="utf-8"))
            yield target, text.render(values)


def _walked(folder: Traversable, below: Path) -> Iterator[tuple[Path, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda found: found.name):
        if entry.is_dir():
            yield from _walked(entry, below / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield below / entry.name, entry
