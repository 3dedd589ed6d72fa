"""Choice of the epoch of attack networks by their loss on held-out records."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class EpochChoice:
    """The epoch with the smallest held-out loss, with early stopping.

    Attributes
    ----------
    patience
        After how many epochs that are no better than the best one the choice is made.
    best
        The number of the best epoch so far.

    Examples
    --------
    >>> EpochChoice.of([3.0, 2.0, 2.5, 2.5, 1.0], patience=3).best
    4
    >>> EpochChoice.of([3.0, 2.0, 2.5, 2.5, 1.0], patience=2).best
    1
    """

    patience: int
    best: int = 0
    _lowest: float = field(default=float("inf"), repr=False)
    _seen: int = field(default=0, repr=False)

    @classmethod
    def of(cls, losses: Iterable[float], patience: int) -> "EpochChoice":
        """Return the choice among the losses of epochs that were trained."""
        choice = cls(patience)
        for loss in losses:
            choice.note(loss)
        return choice

    @property
    def made(self) -> bool:
        """Whether no further epoch can be chosen."""
        return self._seen - self.best > self.patience

    def note(self, loss: float) -> bool:
        """Take in the next epoch; return whether it is the best so far."""
        if self.made:
            return False
        better = loss < self._lowest or not self._seen
        if better:
            self.best, self._lowest = self._seen, loss
        self._seen += 1
        return better
