"""A reader in a folder of its own, who does what a page says from top to bottom.

Commands of ours are called in this process where no shell is needed: to load torch anew for each
would take most of the time.
"""

import csv
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from snippets import Snippet

from fedsim import plugins
from fedsim.cli.main import main
from fedsim.config.experiment import Experiment
from fedsim.config.loading import experiment_of_tree
from fedsim.data import read_membership
from fedsim.doctor import examination

SHELL = set("$|&;<>*?`")
KEPT = re.compile(r"\w+=\$\((fedsim .+)\)")  # what it says is kept in a variable of the shell
BIN = Path(sys.executable).parent
SECONDS = 120

COMPLETED_BY: Mapping[str, Any] = {
    "data": "synthetic-purchase100",
    "model": "fully-connected",
    "federation": {"rounds": 10},
    "snapshots": {"rounds": [5, 10]},
    "adversaries": ["curious-server"],
    "attacks": ["loss"],
}
"""What a part of an experiment is completed by before it is checked."""


def require_no_warning(command: str, said: str) -> None:
    """Raise `AssertionError` if a command has printed a warning, ours or a library's."""
    found = [line for line in said.splitlines() if "WARN" in line or "Warning" in line]
    assert not found, f"{command} warns: {found[0]}"


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Give what Flower, and whoever else logs, says in this process for the length of a block."""
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    loggers = [logging.getLogger(name) for name in (None, "flwr")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield told
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class Reader:
    """Someone in a folder, who writes the files and gives the commands of a page.

    Parameters
    ----------
    folder
        Where; it is the current folder of every command until a ``cd``, and the home in which
        commands leave what they leave there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self.home = folder
        self.names: dict[str, object] = {"__name__": "__page__"}
        self.help: dict[str, str] = {}

    def write(self, snippet: Snippet) -> None:
        """Write a file that a page shows."""
        (self.folder / snippet.title).write_text(snippet.text, encoding="utf-8")

    def read(self, snippet: Snippet) -> None:
        """Execute or check a block that is neither a file nor commands."""
        with self.here():
            READ[snippet.language](self, snippet.text)

    def check_options(self, program: str, command: str) -> None:
        """Assert that a program has the options that a command gives it."""
        given = re.findall(r"(?<=\s)--[a-z][\w-]*", command.partition(program)[2])
        if program not in self.help:
            self.help[program] = self._shell(f"{program} --help")
        missing = [option for option in given if option not in self.help[program]]
        assert not missing, f"{program} has no option {missing[0]}"

    def execute(self, command: str) -> None:
        """Give a command (none is none); `AssertionError` says what it said if it failed."""
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
        elif command.startswith("fedsim ") and not SHELL & set(command):
            self._call(shlex.split(command))
        elif (kept := KEPT.fullmatch(command)) and not SHELL & set(kept[1]):
            self._call(shlex.split(kept[1]))
        elif command:
            self._shell(command)

    def _shell(self, command: str) -> str:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        home = {"HOME": str(self.home), "PATH": path, "OMP_NUM_THREADS": "1"}
        said = subprocess.run(
            ["bash", "-c", f"{command}\nexit $?"],
            cwd=self.folder,
            env={**os.environ, **home},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert said.returncode == 0, f"{command}\n{said.stdout}\n{said.stderr}"
        require_no_warning(command, said.stdout + said.stderr)
        return said.stdout

    def _call(self, arguments: list[str]) -> None:
        with self.here() as patch:
            patch.setattr(sys, "argv", arguments)
            # How full the disk of this machine is is no fault of a page.
            patch.setattr(examination, "LEAST_FREE_BYTES", 0)
            with pytest.raises(SystemExit) as end, logged() as told:
                main()
        assert not end.value.code, f"{shlex.join(arguments)} ended with {end.value.code}"
        require_no_warning(shlex.join(arguments), told.getvalue())

    @contextmanager
    def here(self) -> Iterator[pytest.MonkeyPatch]:
        """Let this process work in the folder, and forget the modules that it finds there."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("HOME", str(self.home))
            patch.setattr(sys, "path", [*sys.path, str(self.folder)])
            try:
                yield patch
            finally:
                for name in [n for n, m in sys.modules.items() if _lies_in(m, self.folder)]:
                    del sys.modules[name]

    def _python(self, text: str) -> None:
        exec(compile(text, "<page>", "exec"), self.names)  # noqa: S102 - our own pages


def _lies_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(file).is_relative_to(folder)


def _yaml(reader: Reader, text: str) -> None:
    """Check an experiment, or a part of one."""
    tree = yaml.safe_load(text)
    assert tree.keys() <= Experiment.model_fields.keys(), tree
    experiment_of_tree({**COMPLETED_BY, **tree}, "the page")


def _toml(reader: Reader, text: str) -> None:
    """Check a file of settings, and in it the entry points of a plugin's package."""
    project = tomllib.loads(text).get("project", {})
    for group, offered in project.get("entry-points", {}).items():
        assert group in {kind.entry_points for kind in plugins.GROUPS.values()}
        assert all(":" in place for place in offered.values())


def _csv(reader: Reader, text: str) -> None:
    """Check a file that says who was in the training data."""
    path = reader.folder / "a-page.csv"
    path.write_text(text, encoding="utf-8")
    assert len(read_membership(path).records) == len(list(csv.reader(text.splitlines()))) - 1


READ: Mapping[str, Callable[[Reader, str], None]] = {
    "python": Reader._python,
    "yaml": _yaml,
    "toml": _toml,
    "csv": _csv,
}
"""What is done with a block of a language other than the shell's, which is no file."""
