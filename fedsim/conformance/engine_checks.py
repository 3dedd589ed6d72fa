"""Checks of an engine: a federation gives the same bits on it as on the local engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedsim.config.engine import engine_kind
from fedsim.config.experiment import Experiment
from fedsim.conformance.checklist import Check
from fedsim.conformance.federation_trial import FederationTrial, require_alike


@dataclass(frozen=True)
class EngineTrial(FederationTrial):
    """An engine by name and settings."""

    @property
    def experiment(self) -> Experiment:
        """The federation, on the engine."""
        engine = engine_kind(self.name).model_validate({**self.settings, "name": self.name})
        return self.plain.model_copy(update={"engine": engine})


def engine_checks(name: str, settings: Mapping[str, Any], folder: Path) -> Sequence[Check]:
    """Return the checks of an engine."""
    trial = EngineTrial(name, settings, folder)
    return [
        Check("ends a federation of six rounds", partial(ends, trial), gate=True),
        Check("leaves the bits that the local engine leaves", partial(agrees, trial)),
    ]


def ends(trial: EngineTrial) -> str:
    """Snapshots of every round are there."""
    return f"{len(trial.end)} files"


def agrees(trial: EngineTrial) -> None:
    """Engines affect the speed of a run, not its results."""
    local = trial.simulated("local", experiment=trial.plain)
    require_alike(trial.end, local, "run on it")
