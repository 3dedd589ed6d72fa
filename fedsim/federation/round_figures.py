"""Utility and traffic of a round."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import MetricRecord

from fedsim.objectives import Objective

PARTS = ("local", "train", "test")
TRAFFIC = ("sent_bytes", "received_bytes", "encoded_bytes")


@dataclass(frozen=True)
class RoundFigures:
    """Utility and traffic of a round; a figure that was not measured is None.

    The first part of a figure's name says where it was measured: ``local_*`` in the participants'
    own training passes, ``train_*`` on the participants' training records with the aggregate,
    ``test_*`` on held-out records with the aggregate. The second part says what it is: ``*_loss``
    is the objective's loss, the other is the objective's measure of utility (``test_accuracy``,
    ``test_error``, ``test_perplexity``). Traffic is the size in bytes of the parameters in the
    round's training messages, summed over participants: ``sent_bytes`` to the participants,
    ``received_bytes`` from them as the simulator holds them, and ``encoded_bytes`` from them as
    the defences encode them, if they do.

    >>> RoundFigures.unmeasured(1, "error").plain()["test_error"] is None
    True
    """

    round: int
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def unmeasured(cls, round_number: int, utility: str) -> "RoundFigures":
        """Return the figures of a round before any is measured; `utility` names the measure."""
        names = (f"{part}_{kind}" for part in PARTS for kind in ("loss", utility))
        return cls(round_number, dict.fromkeys(names))

    @classmethod
    def from_plain(cls, tree: Any) -> "RoundFigures":
        """Return figures from JSON data in the form that `plain` returns.

        Raises
        ------
        ValueError
            If the data does not have that form.
        """
        if not isinstance(tree, Mapping) or type(tree.get("round")) is not int or tree["round"] < 1:
            raise ValueError("a round has no number")
        named = {key: value for key, value in tree.items() if key != "round"}
        others = named.pop("others", {})  # where earlier versions wrote some of the figures
        named |= others if isinstance(others, Mapping) else {"others": others}
        for name, value in named.items():
            known = name in TRAFFIC or str(name).partition("_")[0] in PARTS
            if not known or not _is_figure(value) or (name in TRAFFIC and not _is_size(value)):
                raise ValueError(f"round {tree['round']} has {name!s:.40}, which is no figure")
        return cls(tree["round"], named)

    def of(self, name: str) -> float | None:
        """Return a figure by its name, such as ``test_accuracy`` or ``test_error``.

        >>> RoundFigures(1, {"test_error": 0.5}).of("test_error")
        0.5
        """
        return self.figures.get(name)

    def plain(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return {"round": self.round, **self.figures}


def _is_figure(value: object) -> bool:
    if value is None:
        return True
    # Compared and not converted, because an integer may be too large for a float.
    return (
        isinstance(value, int | float)
        and type(value) is not bool
        and abs(value) <= sys.float_info.max
    )


def _is_size(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def with_utility(
    figures: RoundFigures, part: str, loss: float | None, term: float | None, objective: Objective
) -> RoundFigures:
    """Return figures with loss and utility added for ``local``, ``train`` or ``test``.

    `term` is the mean of the objective's utility terms.
    """
    found = {**figures.figures, f"{part}_loss": loss}
    if term is not None:
        found[f"{part}_{objective.utility.name}"] = objective.utility_of(term)
    return RoundFigures(figures.round, found)


def mean_figure(metrics: MetricRecord, name: str) -> float | None:
    """Return a mean over the participants; None if it is missing or not a finite number."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
