"""The figure of a model's utility: its name, its unit, and whether higher is better."""

from collections.abc import Iterable
from typing import Literal

from fedsim.objectives import UtilityFigure
from fedsim.report.strict_model import Name, StrictModel

PARTS = ("train", "test")


class UtilityInfo(StrictModel):
    """The figure that measures a run's model, as its objective's `UtilityFigure` says.

    Attributes
    ----------
    name
        ``accuracy``, ``error``, ``perplexity``, or what an objective of your own has.
    unit
        ``percent``: a fraction, printed in percent; ``number``: as it is.
    higher_is
        Whether a higher figure means a better model.

    Examples
    --------
    >>> error = UtilityInfo(name="error", unit="number", higher_is="worse")
    >>> error.of("test"), error.cost(0.75, honest=0.5)
    ('test_error', 0.25)
    >>> round(ACCURACY.cost(0.31, honest=0.335), 3)
    0.025
    """

    name: Name
    unit: Literal["percent", "number"]
    higher_is: Literal["better", "worse"]

    @classmethod
    def of_objective(cls, figure: UtilityFigure) -> "UtilityInfo":
        """Return the description of an objective's figure for files."""
        return cls(
            name=figure.name,
            unit="percent" if figure.percent else "number",
            higher_is="better" if figure.higher_is_better else "worse",
        )

    @classmethod
    def named_in(cls, figures: Iterable[str]) -> "UtilityInfo":
        """Return the figure of a file that has only names, such as ``test_error``.

        For files of earlier versions, which do not describe utility.

        >>> UtilityInfo.named_in(["train_loss", "test_loss", "test_error"]).name
        'error'
        """
        found = (name.removeprefix("test_") for name in figures if name.startswith("test_"))
        name = next((one for one in found if one != "loss"), ACCURACY.name)
        if name == ACCURACY.name:
            return ACCURACY
        return cls(name=name, unit="number", higher_is="worse")

    def of(self, part: str) -> str:
        """Return the name of the figure on ``train`` or ``test`` records."""
        return f"{part}_{self.name}"

    def cost(self, figure: float, honest: float) -> float:
        """Return how much worse a figure is than the honest one; negative if it is better."""
        return honest - figure if self.higher_is == "better" else figure - honest


ACCURACY = UtilityInfo(name="accuracy", unit="percent", higher_is="better")
"""The figure of classification."""
