"""What `fedsim run` does with an experiment before round 1, and whether round 1 then succeeds."""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any, NoReturn
from unittest.mock import patch

from rich.console import Console

from fedsim import api
from fedsim.cli.output import TerminalOutput
from fedsim.errors import FedsimError
from fedsim.plugins.error_sentences import plugin_error_sentence
from fedsim.progress import Advance

HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python shows nobody who runs a command."""


class BeganError(BaseException):
    """Round 1 was about to begin."""


class PrintedError(Exception):
    """A warning or a text went to the terminal that is no news of a watcher's."""


class _UpToRound1:
    """A watcher that ends a run where its first federation begins."""

    def say(self, text: str) -> None:
        """Require one line."""
        if not text.isprintable():
            raise PrintedError(repr(text))

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """End the run at its first federation."""
        if what.startswith("federation "):
            raise BeganError
        yield lambda standing: None


def begin(tree: Any, folder: Path, data: Path) -> None:
    """Do what `fedsim run` does before round 1, the plan that it prints included.

    Raises
    ------
    FedsimError
        If the experiment is refused.
    PrintedError
        If there was a warning.
    """
    out = folder / "run of values"
    terminal = TerminalOutput(Console(file=io.StringIO(), markup=False, emoji=False, width=100))
    try:
        # Provenance asks git, and says nothing of the experiment's values.
        nothing = patch("fedsim.api.runs.provenance", return_value={})
        # A cluster would be started for each value; what it takes is checked before.
        cluster = patch("fedsim.engines.factory.open_ray", _no_cluster)
        with nothing, cluster, _as_a_command(folder), suppress(BeganError):
            api.run(tree, out, data_dir=data, watcher=_UpToRound1(), on_plan=terminal.show_plan)
    finally:
        rmtree(out, ignore_errors=True)


def _no_cluster(engine: object) -> NoReturn:
    raise BeganError


def run_whole(tree: Any, folder: Path, data: Path) -> None:
    """Run an experiment to its end.

    Raises
    ------
    FedsimError
        If that fails, in a sentence.
    """
    with _as_a_command(folder):
        api.run(tree, folder / "run", data_dir=data)


@contextmanager
def _as_a_command(folder: Path) -> Iterator[None]:
    """Keep temporary files in a folder, and let nothing be printed; errors are as a command's."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    printed = io.StringIO()
    try:
        with (
            patch.dict(os.environ, FEDSIM_CACHE=str(folder / "cache of values")),
            warnings.catch_warnings(record=True) as caught,
            redirect_stderr(printed),
            redirect_stdout(printed),
        ):
            warnings.simplefilter("always")
            for kind in HIDDEN:
                warnings.simplefilter("ignore", kind)
            yield
    except OSError as error:  # as `fedsim.cli.main` tells it
        raise FedsimError(f"{error.filename or ''}: {error.strerror or error}") from error
    except Exception as error:
        if isinstance(error, FedsimError) or (told := plugin_error_sentence(error)) is None:
            raise
        raise FedsimError(told) from error
    finally:
        tempfile.tempdir = before
    if caught:
        raise PrintedError(f"{caught[0].category.__name__}: {caught[0].message}")
    if printed.getvalue():
        raise PrintedError(printed.getvalue()[:300])
