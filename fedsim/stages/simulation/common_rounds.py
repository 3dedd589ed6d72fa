"""Which results of local training federations of a run have in common: see `TrainingMemory`.

A federation begins where its attacker first acts. In that round participants may be sent what the
honest federation sent them. From then on it may do what another one did only if that one's
adversaries are among its own: a server that isolates a victim, and one that does the same and later
something more.
"""

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress

from fedsim.config.engine import LocalEngine
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup import Setup
from fedsim.training.training_memory import TrainingMemory

_COPIES = 3  # of the parameters in a result: themselves, and two of an optimiser
_FLOAT = 4  # bytes
_SHARE_OF_DISK = 0.25  # of what is free, that results may take


class CommonRounds:
    """The memory of each federation of a run, in the order in which they are simulated."""

    def __init__(
        self, setup: Setup, run: RunDirectory, federations: Sequence[PlannedFederation]
    ) -> None:
        self.folder = run.states / "trained"
        self._setup, self._federations = setup, federations
        self._last = setup.experiment.federation.rounds
        self._adversaries = {
            attacker["label"]: attacker["together"]
            for attacker in setup.experiment.plain()["adversaries"]
        }
        self._used = isinstance(setup.experiment.engine, LocalEngine) and self._fit_on_disk(run)

    def memory(self, federation: PlannedFederation) -> TrainingMemory | None:
        """Return what a federation looks up and keeps; None if it has nothing in common."""
        kept, looked_up = self._kept(federation), self._looked_up(federation)
        if not self._used or not (kept or looked_up):
            return None
        return TrainingMemory(self.folder, looked_up.__contains__, kept.__contains__)

    def forget(self) -> None:
        """Remove all results."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # states are there, or nothing was
            self.folder.parent.rmdir()

    def _kept(self, federation: PlannedFederation) -> Collection[int]:
        place = self._federations.index(federation)
        later = [one for one in self._federations[place + 1 :] if one.acts_from() is not None]
        first = federation.acts_from()
        if first is None:
            return {start for one in later if (start := one.acts_from()) is not None}
        goes_on = any(self._goes_on(federation, one) for one in later)
        return range(first, self._last + 1) if goes_on else ()

    def _looked_up(self, federation: PlannedFederation) -> Collection[int]:
        first, place = federation.acts_from(), self._federations.index(federation)
        if first is None:
            return ()
        if any(self._goes_on(one, federation) for one in self._federations[:place]):
            return range(first, self._last + 1)
        return (first,)

    def _goes_on(self, one: PlannedFederation, other: PlannedFederation) -> bool:
        """Return whether an active federation's adversaries are among those of another."""
        if one.acts_from() is None:
            return False
        own, others = ([self._adversaries[a.label] for a in f.attackers] for f in (one, other))
        return all(choice in of for of in others for part in own for choice in part)

    def _fit_on_disk(self, run: RunDirectory) -> bool:
        participants = self._setup.ledger.participants
        results = sum(len(self._kept(one)) for one in self._federations) * participants
        needed = results * _COPIES * _FLOAT * plan(self._setup).parameters
        return needed <= _SHARE_OF_DISK * shutil.disk_usage(run.path).free
