"""A run's figures as TensorBoard scalars: utility over the rounds, and what the attacks reach.

The figures are read from the files that the stages write anyway, so no stage knows of this. A
running federation writes its history every half minute, which is as often as TensorBoard looks.

Tags: ``FEDERATION/test_accuracy`` and the other figures of a round, by round (see
`fedsim.federation.rounds.RoundFigures`); ``ADVERSARY/ATTACK/auc`` and ``.../accuracy`` once, at the
federation's last round.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fedsim.errors import FedsimError
from fedsim.files import OWNER_ONLY_FILE, make_private_folder
from fedsim.progress import Advance
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation.history import read_history_file


class Writer(Protocol):
    """What is needed of TensorBoard's writer."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Write one figure."""

    def close(self) -> None:
        """Write the remaining figures."""


class Scalars:
    """A watcher that writes the figures of the federations in a run directory as they appear.

    Parameters
    ----------
    writer
        Takes the figures.
    run
        The run directory; it may be made later.
    """

    def __init__(self, writer: Writer, run: RunDirectory) -> None:
        self._writer, self._run = writer, run
        self._changed: dict[Path, int] = {}
        self._written: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Drop the line: it is no figure."""

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Look for new figures at each step and at the end."""
        try:
            yield lambda standing: self.look()
        finally:
            self.look()

    def look(self) -> None:
        """Write the rounds that histories have more than at the last look."""
        every = self._run.history("*").relative_to(self._run.path)
        for path in sorted(self._run.path.glob(str(every))):
            changed = path.stat().st_mtime_ns
            if self._changed.get(path) != changed:
                self._changed[path] = changed
                self._write(path)

    def _write(self, path: Path) -> None:
        federation = path.parent.name
        before = self._written.get(federation, 0)
        for figures in read_history_file(path).rounds:
            if figures.round > before:
                self._written[federation] = figures.round
                for name, value in figures.figures.items():
                    if value is not None:
                        self._writer.add_scalar(f"{federation}/{name}", value, figures.round)

    def end(self, results: Results) -> None:
        """Write what each attack reaches, and close the writer."""
        self.look()
        last = max(self._written.values(), default=0)
        for row in results.summary():
            for name, figure in row.figures.items():
                tag = f"{row.adversary}/{row.attack}/{name}"
                self._writer.add_scalar(tag, figure.value, last)
        self._writer.close()


def open_scalars(folder: Path, run: RunDirectory) -> Scalars:
    """Return a watcher that writes the figures of a run for TensorBoard into `folder`.

    Raises
    ------
    FedsimError
        If TensorBoard is not installed.
    """
    return Scalars(writers()(folder), run)


def writers() -> Callable[[Path], Writer]:
    """Return what makes TensorBoard's writer for a folder.

    Raises
    ------
    FedsimError
        If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise FedsimError(
            "--tensorboard needs TensorBoard, which is not installed; `pip install "
            "'fedsim[tensorboard]'` installs it"
        ) from error

    def private_writer(folder: Path) -> Writer:
        writer: Writer = SummaryWriter(str(make_private_folder(folder)))
        for path in folder.glob("events.out.tfevents.*"):  # TensorBoard makes them for all to read
            path.chmod(OWNER_ONLY_FILE)
        return writer

    return private_writer
