"""Defences that change what local training minimises: the part that they share.

The trainer is the experiment's own. It is given the same batches with another objective, so it
works with every trainer that goes over its batches and asks their objective for the loss.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import ClassVar

from torch import Tensor

from fedsim.config.federation import LocalTraining
from fedsim.defences.base import Defence, Half
from fedsim.errors import ConfigError
from fedsim.objectives import Objective
from fedsim.training.trainer import Batches, LocalTrainer


class ChangedTraining(Defence):
    """A defence that participants' local training is: its updates are what they are."""

    halves: ClassVar[frozenset[Half]] = frozenset({"participants"})
    alters_updates: ClassVar[bool] = False  # training is over before anything is clipped


class WrappedTrainer(LocalTrainer):
    """A trainer around another one, which it resembles in all that a subclass does not change."""

    def __init__(self, inner: LocalTrainer) -> None:
        self.inner = inner

    def remembers(self, local: LocalTraining) -> bool:
        """Return whether the inner trainer keeps state between rounds."""
        return self.inner.remembers(local)

    def require_fit(self, objective: Objective, local: LocalTraining) -> None:
        """Raise `ConfigError` where the inner trainer would."""
        self.inner.require_fit(objective, local)


class WrappedObjective(Objective):
    """An objective whose loss in training is another one; all figures are the inner objective's."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner
        # What the class of the inner one says of it is true of this one.
        self.utility = inner.utility  # type: ignore[misc]
        self.scalars = inner.scalars  # type: ignore[misc]

    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the inner losses, shape (n,)."""
        return self.inner.per_record_loss(outputs, targets)

    def utility_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the inner terms, shape (n,)."""
        return self.inner.utility_terms(outputs, targets)

    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the inner scalars, shape (n, len(scalars))."""
        return self.inner.record_scalars(outputs, targets)

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that is minimised, a scalar."""
        return self.training_loss(outputs, targets)


def changed_batches(
    batches: Batches, objective: Objective, change: Callable[[Tensor], Tensor] | None = None
) -> "ChangedBatches":
    """Return a participant's batches with another objective.

    Parameters
    ----------
    batches
        Those of the round; the same records come in the same order.
    objective
        What the trainer asks for the loss.
    change
        What is done to the inputs of each batch; None does nothing.
    """
    given = {field.name: getattr(batches, field.name) for field in fields(batches)}
    return ChangedBatches(**given | {"objective": objective}, change=change)


@dataclass(frozen=True, eq=False)
class ChangedBatches(Batches):
    """Batches whose inputs are changed, and which count the epochs that a trainer begins.

    Attributes
    ----------
    change
        What is done to the inputs of each batch.
    epochs
        A list of one number: how many epochs were begun in the round.
    """

    change: Callable[[Tensor], Tensor] | None = None
    epochs: list[int] = field(default_factory=lambda: [0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and targets of each batch of an epoch."""
        self.epochs[0] += 1
        for inputs, targets in super().__iter__():
            yield (inputs if self.change is None else self.change(inputs)), targets


def require_iterated(batches: ChangedBatches, trainer: LocalTrainer, defence: str) -> None:
    """Raise `ConfigError` if a trainer has not gone over its batches: then nothing was changed."""
    if not batches.epochs[0]:
        raise ConfigError(
            f"the defence {defence} changes the batches of an epoch, and the trainer "
            f"{type(trainer).__name__} draws records of its own; leave one of them out"
        )
