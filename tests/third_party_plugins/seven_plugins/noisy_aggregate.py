"""A defence of the server."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp.strategy import Strategy

from fedsim.defences import Defence


class NoisyAggregate(Defence):
    """The server adds Gaussian noise to what it sends out."""

    halves: ClassVar = frozenset({"server"})

    def __init__(self, deviation: float = 0.05) -> None:
        self.deviation = deviation

    def in_words(self) -> str:
        """Return what it does."""
        return f"the server adds noise of standard deviation {self.deviation:g} to the aggregate"

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy with the noise around it."""
        return _Noisy(strategy, self.deviation, self.facts.seed if self.facts else 0)


class _Noisy(Strategy):
    def __init__(self, strategy: Strategy, deviation: float, seed: int) -> None:
        self.strategy, self.deviation, self.seed = strategy, deviation, seed

    def configure_train(self, *arguments: Any) -> Iterable[Message]:
        return self.strategy.configure_train(*arguments)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            random = np.random.default_rng((self.seed, server_round))
            arrays = ArrayRecord({n: self._noised(a, random) for n, a in arrays.items()})
        return arrays, metrics

    def _noised(self, array: Array, random: np.random.Generator) -> Array:
        value = array.numpy()
        return Array((value + random.normal(0, self.deviation, value.shape)).astype(value.dtype))

    def configure_evaluate(self, *arguments: Any) -> Iterable[Message]:
        return self.strategy.configure_evaluate(*arguments)

    def aggregate_evaluate(self, *arguments: Any) -> Any:
        return self.strategy.aggregate_evaluate(*arguments)

    def summary(self) -> None:
        self.strategy.summary()
