"""The schedule of a federation, and its progress between two rounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from fedsim.federation.round_figures import RoundFigures
from fedsim.objectives import Classification, Objective
from fedsim.training.sgd_loop import Utility
from fedsim.transport.messages import Shapes


@dataclass(frozen=True)
class Progress:
    """The state between two rounds from which the server can continue a federation."""

    round: int
    arrays: ArrayRecord
    history: tuple[RoundFigures, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """The number of rounds, the rounds in which utility is measured, and who takes part in each.

    `extra_config` is sent to the participants with every message, beside the round. `encoded`
    returns the size of an upload as the defences encode it, in bytes; None if they do not.
    """

    rounds: int
    evaluate_every: int
    seed: int
    expected: Shapes
    test: Callable[[ArrayRecord], Utility]
    timeout: float | None = None
    present: Callable[[int], frozenset[int]] | None = None
    extra_config: Mapping[str, str] = field(default_factory=dict)
    objective: Objective = field(default_factory=Classification)
    encoded: Callable[[ArrayRecord], int] | None = None

    def evaluates(self, round_number: int) -> bool:
        """Return whether a round is evaluated: at an interval, and in the last round."""
        return round_number % self.evaluate_every == 0 or round_number == self.rounds
