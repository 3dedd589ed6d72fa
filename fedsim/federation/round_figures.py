"""What is known of the aggregate's utility after a round."""

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
    """What is known of the aggregate's utility after a round; None where it was not evaluated.

    Each figure is called after whose it is and what it is: ``local_*`` are of the participants' own
    training passes, ``train_*`` of the aggregate on their training records, ``test_*`` of the
    aggregate on held-out records; ``*_loss`` is the objective's loss, the other is its figure of
    utility (``test_accuracy``, ``test_error``, ``test_perplexity``). Of the round's messages of
    training there are the bytes of the parameters in them, all participants together:
    ``sent_bytes`` to the participants, ``received_bytes`` from them as the simulator holds them,
    and ``encoded_bytes`` from them as the defences encode them, where they do.

    >>> RoundFigures.unmeasured(1, "error").plain()["test_error"] is None
    True
    """

    round: int
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def unmeasured(cls, round_number: int, utility: str) -> "RoundFigures":
        """Return a round of which nothing is known yet, of an objective with this figure."""
        names = (f"{part}_{kind}" for part in PARTS for kind in ("loss", utility))
        return cls(round_number, dict.fromkeys(names))

    @classmethod
    def from_plain(cls, tree: Any) -> "RoundFigures":
        """Return figures that JSON holds, as `plain` gives them.

        Raises
        ------
        ValueError
            If they are none.
        """
        if not isinstance(tree, Mapping) or type(tree.get("round")) is not int or tree["round"] < 1:
            raise ValueError("a round has no number")
        named = {key: value for key, value in tree.items() if key != "round"}
        others = named.pop("others", {})  # as they were written before all figures were alike
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
        """Return the figures as JSON has them."""
        return {"round": self.round, **self.figures}


def _is_figure(value: object) -> bool:
    if value is None:
        return True
    # Compared, not converted: a whole number may be too large for a float.
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
    """Return figures with loss and utility of a part: ``local``, ``train`` or ``test``.

    `term` is the mean of the objective's utility terms.
    """
    found = {**figures.figures, f"{part}_loss": loss}
    if term is not None:
        found[f"{part}_{objective.utility.name}"] = objective.utility_of(term)
    return RoundFigures(figures.round, found)


def mean_figure(metrics: MetricRecord, name: str) -> float | None:
    """Return a mean over the participants; None where they did not send it, or no mean of it."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
