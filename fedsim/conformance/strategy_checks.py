"""Checks of a strategy: it completes its rounds, reproducibly, and resumes after a stop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedsim.config.choice import Choice
from fedsim.config.experiment import Experiment
from fedsim.conformance.adversary_trial import Stopping
from fedsim.conformance.checklist import Check
from fedsim.conformance.federation_trial import FederationTrial, require_alike

STOP = 3
"""After how many rounds the federation is stopped."""


@dataclass(frozen=True)
class StrategyTrial(FederationTrial):
    """A strategy by name and settings."""

    @property
    def experiment(self) -> Experiment:
        """The federation, with the strategy."""
        chosen = Choice(name=self.name, **self.settings)
        federation = self.plain.federation.model_copy(update={"strategy": chosen})
        return self.plain.model_copy(update={"federation": federation})


def strategy_checks(name: str, settings: Mapping[str, Any], folder: Path) -> Sequence[Check]:
    """Return the checks of a strategy."""
    trial = StrategyTrial(name, settings, folder)
    claims: Mapping[str, Callable[[StrategyTrial], str | None]] = {
        "gives the same parameters to the same seed": repeats,
        "stopped and gone on, ends as if it had not been": resumes,
    }
    return [
        Check("ends a federation of six rounds", partial(ends, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
    ]


def ends(trial: StrategyTrial) -> str:
    """Snapshots of every round are there."""
    return f"{len(trial.end)} files"


def repeats(trial: StrategyTrial) -> None:
    """Draws come from the seed of the federation, which Flower's strategies take from Python."""
    require_alike(trial.simulated("again"), trial.end, "run again")


def resumes(trial: StrategyTrial) -> None:
    """Server state such as momentum must be attributes that a checkpoint can hold."""
    with suppress(KeyboardInterrupt):
        trial.simulated("stopped", Stopping(STOP))
    require_alike(trial.simulated("stopped"), trial.end, f"stopped after {STOP} rounds and resumed")
