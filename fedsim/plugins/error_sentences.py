"""Turning exceptions of plugins into one sentence: the plugin, the exception, and the line.

A plugin may raise any exception wherever it is called. An exception that passed through fedsim's
own code only is a defect of fedsim and stays a traceback.
"""

import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fedsim.errors import PluginError
from fedsim.plugins.groups import GROUPS, available

OURS = ("fedsim", "adversaries")
INSTALLED = {"site-packages", "dist-packages"}
_CONTRACTS = {
    "adversary": ("fedsim.adversary.base", "Adversary"),
    "attack": ("fedsim.attacks", "Attack"),
}
"""Classes of plugins, whose kind a sentence names; loaded if there is an object of them."""
_SENT = re.compile(
    r'^ *File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)$', re.MULTILINE
)
_BEGINS = "Traceback (most recent call last):"


@dataclass(frozen=True)
class _TracebackCall:
    """A call in a traceback; `whose` names the adversary or attack whose method was called."""

    file: str
    line: int
    function: str
    whose: str = ""
    module: str = ""

    @property
    def place(self) -> str:
        """The file, relative to the working directory if it is below it, and the line."""
        path = Path(self.file)
        below = path.is_relative_to(Path.cwd())
        return f"({path.relative_to(Path.cwd()) if below else path}, line {self.line})"


def one_line(error: Exception) -> str:
    """Return a third party's exception on one line, as part of a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def raised_in(error: Exception) -> str:
    """Return " (file, line n)" of the innermost line of a plugin that an exception passed through.

    Lines of fedsim, and of libraries that the plugin calls, are skipped.
    """
    theirs = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _top(frame.f_globals.get("__name__")) not in OURS
        and INSTALLED.isdisjoint(Path(frame.f_code.co_filename).parts)
        and not frame.f_code.co_filename.startswith(("<", sysconfig.get_path("stdlib")))
    ]
    if not theirs:
        return ""
    file, line = theirs[-1]
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f" ({shown}, line {line})"


def plugin_error_sentence(error: Exception) -> str | None:
    """Return one sentence for an exception that passed through a plugin; None if it did not."""
    calls = [*_calls(error), *_calls_elsewhere(error)]
    homes = _homes_of_plugins()
    theirs = [call for call in calls if call.whose or _is_theirs(call.file, homes)]
    if not theirs:
        return None
    last = theirs[-1]
    named = [call for call in theirs if call.whose] or [last]
    text = " ".join(str(error).split())
    return str(
        PluginError(
            f"{named[-1].whose or 'a plugin'} failed in {named[-1].function}: "
            f"{type(error).__name__}{': ' if text else ''}{text} "
            f"{last.place}"
        )
    )


def place_in_module(error: Exception, module: str) -> str:
    """Return the file and line of the innermost call in a module; empty if there is none."""
    return next((f" {c.place}" for c in reversed(list(_calls(error))) if c.module == module), "")


def _calls(error: Exception) -> Iterator[_TracebackCall]:
    """Yield the calls that an exception passed through in this process, the outermost first."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code, owner = frame.f_code, frame.f_locals.get("self")
        module = str(frame.f_globals.get("__name__"))
        whose = "" if _top(module) in OURS else _named(owner)
        yield _TracebackCall(code.co_filename, line, code.co_name, whose, module)


def _calls_elsewhere(error: Exception) -> Iterator[_TracebackCall]:
    """Yield the calls in the worker process, whose traceback is attached as a note."""
    for note in getattr(error, "__notes__", ()):
        _, begins, sent = str(note).rpartition(_BEGINS)
        for found in _SENT.finditer(sent) if begins else ():
            yield _TracebackCall(found["file"], int(found["line"]), found["function"])


def _is_theirs(file: str, homes: Iterable[Path]) -> bool:
    """Return whether a file belongs neither to fedsim nor to Python or a library.

    `homes` are the folders of plugins.
    """
    path = Path(file)
    if file.startswith("<") or _is_below(path, _homes(OURS)):
        return False
    if _is_below(path, homes):
        return True
    of_python = _is_below(path, [Path(sysconfig.get_path("stdlib"))])
    return not of_python and INSTALLED.isdisjoint(path.parts)


def _homes_of_plugins() -> list[Path]:
    """Return the folders of plugins in other installed packages."""
    points = [point for group in GROUPS for point in available(group).values()]
    return list(_homes({_top(point.module) for point in points} - {*OURS}))


def _homes(modules: Iterable[str]) -> Iterator[Path]:
    """Yield the folders of packages, and the files of modules that are not packages."""
    for module in modules:
        if (spec := find_spec(module)) is not None:
            places = spec.submodule_search_locations or [spec.origin or ""]
            yield from map(Path, filter(None, places))


def _is_below(path: Path, homes: Iterable[Path]) -> bool:
    return any(path.is_relative_to(home) for home in homes)


def _named(plugin: object) -> str:
    """Return the name of an adversary or attack for a sentence; empty for any other object."""
    for kind, (module, name) in _CONTRACTS.items():
        contract = getattr(sys.modules.get(module), name, None)
        if contract is not None and isinstance(plugin, contract):
            return f"{kind} {type(plugin).__module__}:{type(plugin).__qualname__}"
    return ""


def _top(module: object) -> str:
    return str(module).partition(".")[0]
