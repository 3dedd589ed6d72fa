"""The contract of an objective: the loss of a record, its correctness, and scalars for attacks.

Local training, evaluation, the features that attacks read, and gradient ascent take the loss from
the experiment's objective. Nothing else names a loss function.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fedsim.errors import ConfigError


@dataclass(frozen=True)
class UtilityFigure:
    """The figure that measures a model of an objective: accuracy, error, perplexity.

    Attributes
    ----------
    name
        What it is called in tables and in results.json (``test_accuracy``, ``test_error``).
    term
        What it is a mean of over records, as participants report it to the server; the server
        averages the terms and makes the figure of their mean (a root mean square is no mean).
    percent
        Whether it is a fraction, shown in percent.
    higher_is_better
        Whether training raises it.
    """

    name: str
    term: str
    percent: bool = False
    higher_is_better: bool = False


@dataclass(frozen=True)
class RecordFit:
    """What an objective says about each of n records, as the features that attacks read need it.

    Attributes
    ----------
    losses : (n,)
    scalars : (n, len(objective.scalars))
    direction : (n, ...)
        The gradient of the loss with respect to the outputs, divided by ``exp(log_scale)``.
    log_scale : (n,)
        Kept apart, so that a backward pass that starts with `direction` cannot underflow where the
        model is certain.
    """

    losses: Tensor
    scalars: Tensor
    direction: Tensor
    log_scale: Tensor


class Objective(ABC):
    """The training objective.

    Attributes
    ----------
    utility
        The figure of utility of a model; see `utility_terms`.
    scalars
        Names of the per-record scalars that the output of the model alone gives an attack, in the
        order of the columns of `record_scalars`. The first one orders records by fit: higher is
        fitted better, without underflow where the model is certain.

    Examples
    --------
    Least absolute deviations, as a plugin of its own:

    >>> class Absolute(Objective):
    ...     scalars = ("minus log absolute error",)
    ...
    ...     def per_record_loss(self, outputs, targets):
    ...         return (outputs.flatten() - targets).abs()
    ...
    ...     def record_scalars(self, outputs, targets):
    ...         return -self.per_record_loss(outputs, targets).log()[:, None]
    >>> Absolute().mean_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 2.0]))
    tensor(1.)
    """

    scalars: ClassVar[tuple[str, ...]] = ()
    utility: ClassVar[UtilityFigure] = UtilityFigure("loss", "loss")

    def require_fit(self, outputs: Tensor, targets: Tensor) -> None:  # noqa: B027 - may be left
        """Raise `ConfigError` unless a model's outputs fit the targets; asked before round 1."""

    @abstractmethod
    def per_record_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each record.

        Parameters
        ----------
        outputs
            What the model returns for n records, shape (n, ...).
        targets
            Their targets, shape (n, ...), as the data set's `batch` gives them.

        Returns
        -------
        Tensor
            Shape (n,), differentiable with respect to `outputs`.
        """

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of the losses of a batch."""
        return self.per_record_loss(outputs, targets).mean()

    def training_loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> Tensor:
        """Return the scalar that local training minimises with these changes of the loss.

        Raises
        ------
        ConfigError
            If the objective has no such changes.
        """
        if class_weights is not None or label_smoothing:
            raise ConfigError(
                "class_weights and label_smoothing are settings for objective classification, not "
                f"for {type(self).__name__}; leave them out of federation.local.trainer"
            )
        return self.mean_loss(outputs, targets)

    def sum_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of the losses of a batch, as evaluation adds them up."""
        return self.per_record_loss(outputs, targets).sum()

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return for each record, shape (n,), whether it is right; None where nothing is."""
        return None

    def utility_terms(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return for each record, shape (n,), what `utility` is a mean of; its loss by default."""
        return self.per_record_loss(outputs, targets)

    def utility_of(self, mean: float) -> float:
        """Return the figure of utility that the mean of the terms makes."""
        return mean

    @abstractmethod
    def record_scalars(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the scalars of each record, shape (n, len(scalars))."""

    def output_gradients(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return d loss / d outputs of each record, shaped like `outputs`.

        A closed form is worth it where the general one cancels: softmax minus one-hot loses all
        digits of a confident member.
        """
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.per_record_loss(leaf, targets).sum(), leaf)
        return found

    def record_fit(self, outputs: Tensor, targets: Tensor) -> RecordFit:
        """Return losses, scalars and output gradients together, as one pass may share work."""
        return RecordFit(
            self.per_record_loss(outputs, targets),
            self.record_scalars(outputs, targets),
            self.output_gradients(outputs, targets),
            outputs.new_zeros(len(outputs)),
        )
