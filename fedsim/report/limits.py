"""The limits of a gate: the largest or smallest number that a figure may be."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fedsim.errors import ConfigError

Bound = Literal["max", "min"]


@dataclass(frozen=True)
class Limit:
    """The largest or smallest number that a figure may be.

    Attributes
    ----------
    figure
        A metric (``tpr@0.01``) or a figure of utility (``test_accuracy``), as in ``results.json``,
        or ``epsilon``.
    bound
        Whether `number` is the largest or the smallest that is allowed.
    number
        In the figure's own unit; a fraction for an accuracy, an AUC or a TPR.
    """

    figure: str
    bound: Bound
    number: float

    @property
    def in_words(self) -> str:
        """The limit as a formula, such as ``auc <= 0.6``."""
        return f"{self.figure} {'<=' if self.bound == 'max' else '>='} {self.number:g}"

    def is_kept_by(self, value: float) -> bool:
        """Return whether a number is within the limit; a number that equals it is."""
        return value <= self.number if self.bound == "max" else value >= self.number


def parse_limits(texts: Iterable[str], bound: Bound) -> dict[str, float]:
    """Return limits that are written as ``FIGURE=NUMBER``, by figure.

    >>> parse_limits(["auc=.6", "tpr@0.01=.03"], "max")
    {'auc': 0.6, 'tpr@0.01': 0.03}

    Raises
    ------
    ConfigError
        If one is written otherwise, its number is not finite, or a figure has two.
    """
    limits: dict[str, float] = {}
    for text in texts:
        figure, _, number = (part.strip() for part in text.rpartition("="))
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not figure or not math.isfinite(limit):
            raise ConfigError(
                f"--{bound} {text!r} must be a figure and a number with = between them, such as "
                "auc=.60"
            )
        if figure in limits:
            raise ConfigError(f"--{bound} names {figure} twice; give one limit for a figure")
        limits[figure] = limit
    return limits
