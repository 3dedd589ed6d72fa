"""How long a federation runs, and where it stands between two rounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from fedsim.federation.round_figures import RoundFigures
from fedsim.objectives import Classification, Objective
from fedsim.training.sgd_loop import Utility
from fedsim.transport.messages import Shapes


@dataclass(frozen=True)
class Progress:
    """A federation between two rounds: all that the server needs to go on."""

    round: int
    arrays: ArrayRecord
    history: tuple[RoundFigures, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """How long a federation runs, when its utility is measured, and who takes part.

    `extra_config` is sent to the participants with every message, beside the round. `encoded` says
    how many bytes an upload takes that the defences encode; None where they do not.
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
        """Return whether the aggregate of a round is evaluated: every so often, and at the end."""
        return round_number % self.evaluate_every == 0 or round_number == self.rounds
