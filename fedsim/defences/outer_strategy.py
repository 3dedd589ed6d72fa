"""A strategy around another one that delegates everything: the base of defences on servers."""

from collections.abc import Iterable
from typing import ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy


class OuterStrategy(Strategy):
    """Delegates to the inner strategy; subclasses override parts of it.

    Attributes
    ----------
    strategy
        The one inside.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def summary(self) -> None:
        """Log the configuration of the strategy inside."""
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the strategy inside."""
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as the strategy inside."""
        return self.strategy.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the strategy inside."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Aggregate evaluations as the strategy inside."""
        return self.strategy.aggregate_evaluate(server_round, replies)


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
