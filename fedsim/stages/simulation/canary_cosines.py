"""Cosines between a federation's aggregates and its canary participants' directions.

Each round has a row with the cosines of its step, and of the sum of all steps, with every direction
that was sent and with equally many that were not sent. A resumed federation drops the rows of
repeated rounds, so the file equals that of an uninterrupted one.
"""

from pathlib import Path

from flwr.app import ArrayRecord
from pydantic import TypeAdapter

from fedsim.canaries.participants import CanaryUpdates, Direction, canary_cosines, joined_step
from fedsim.federation.rounds import Progress
from fedsim.files import write_text
from fedsim.models.trainable import trainable_names
from fedsim.report.strict_model import StrictModel
from fedsim.rundir.kept_json import read_kept
from fedsim.stages.preparation.setup import Setup

Cosines = tuple[float, ...]


class CosineRow(StrictModel):
    """The cosines of one round: of its step, and of all steps since the beginning.

    `sent` and `unsent` are of the round's own step, `sent_since`, `unsent_since` of all steps.
    """

    round: int
    sent: Cosines
    unsent: Cosines
    sent_since: Cosines
    unsent_since: Cosines


class CanaryCosines(StrictModel):
    """The rows of a federation, by rising round."""

    dimensions: int
    rows: tuple[CosineRow, ...] = ()


class CosineRecorder:
    """Records the cosines of a federation with canary participants after each round."""

    def __init__(self, setup: Setup, path: Path, beginning: ArrayRecord, start: Progress) -> None:
        self._path, self._beginning, self._before = path, beginning, start.arrays
        self._seed = setup.experiment.seed
        self._names = trainable_names(setup.new_model())
        first, end = canary_range(setup)
        self._sent, self._unsent = range(first, end), range(-1, first - end - 1, -1)
        found = read_cosines(path)
        self._rows = (
            [] if found is None else [row for row in found.rows if row.round <= start.round]
        )

    def after(self, progress: Progress) -> None:
        """Record the cosines of a round that has just ended, before it counts as finished."""
        own = joined_step(progress.arrays, self._before, self._names)
        since = joined_step(progress.arrays, self._beginning, self._names)
        row = CosineRow(
            round=progress.round,
            sent=self._of(own, self._sent),
            unsent=self._of(own, self._unsent),
            sent_since=self._of(since, self._sent),
            unsent_since=self._of(since, self._unsent),
        )
        self._rows.append(row)
        self._before = progress.arrays
        found = CanaryCosines(dimensions=len(own), rows=tuple(self._rows))
        write_text(self._path, found.model_dump_json() + "\n")

    def ended(self, progress: Progress) -> None:
        """Record the final parameters of a federation that was simulated elsewhere."""
        if not self._rows:
            self.after(progress)

    def _of(self, step: Direction, numbers: range) -> Cosines:
        return tuple(canary_cosines(step, self._seed, numbers).tolist())


def canary_range(setup: Setup) -> tuple[int, int]:
    """Return the first canary participant, and the number of participants: none where equal."""
    participants = setup.experiment.partition.participants
    return participants - setup.experiment.audit.canary_participants, participants


def canary_mods(setup: Setup) -> list[CanaryUpdates]:
    """Return the mods with which canary participants upload their directions."""
    first, end = canary_range(setup)
    if first == end:
        return []
    return [CanaryUpdates(first, setup.experiment.seed, trainable_names(setup.new_model()))]


def read_cosines(path: Path) -> CanaryCosines | None:
    """Return the cosines of a federation; None if none were recorded.

    Raises
    ------
    RunDirectoryError
        If the file is damaged.
    """
    return read_kept(path, TypeAdapter(CanaryCosines))
