"""What the server's position is shown under secure aggregation: sums of uploads."""

from typing import ClassVar

from flwr.serverapp.strategy import Strategy

from fedsim.defences.outer_strategy import OuterStrategy


class SumsOnly(OuterStrategy):
    """A strategy under secure aggregation: adversaries in its position are shown sums.

    It aggregates as the strategy that it wraps, which must need no more than the sum.
    """

    sums_suffice: ClassVar[bool] = True


def shows_sums_only(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it wraps, is under secure aggregation."""
    inner = vars(strategy).get("strategy")
    return isinstance(strategy, SumsOnly) or (
        isinstance(inner, Strategy) and shows_sums_only(inner)
    )
