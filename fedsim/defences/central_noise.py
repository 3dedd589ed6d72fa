"""Flower's noise on the aggregate, on the parameters that training changes and on nothing else.

Flower's wrappers for differential privacy clip and noise all arrays of a message by their position,
the running statistics and counters of BatchNorm among them: a counter that moves by 100 leaves
nothing of an update of norm .3. Here the wrapper stands between two strategies of ours: the outer
one takes the buffers out of the uploads, the inner one puts them back before the honest strategy
aggregates, so that buffers are averaged as without a defence.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.defences.outer_strategy import OuterStrategy
from fedsim.models.trainable import required_names
from fedsim.transport.messages import arrays_of, with_arrays

Clip = Callable[[Message, ArrayRecord, frozenset[str]], None]
"""Clips the update in a reply, given the parameters that were sent and the names that count."""


class CentralNoise(OuterStrategy):
    """A strategy with one of Flower's wrappers around it that sees parameters only.

    Parameters
    ----------
    strategy
        The honest one.
    noisy
        Puts Flower's wrapper around a strategy.
    trainable
        The names of the parameters; None infers them from the messages.
    clip
        What the server does to each reply before; by default nothing.

    Attributes
    ----------
    sums_suffice
        Whether it needs no single upload, and works under secure aggregation.
    """

    def __init__(
        self,
        strategy: Strategy,
        noisy: Callable[[Strategy], Strategy],
        trainable: frozenset[str] | None,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(noisy(Whole(strategy)))
        self.sums_suffice = clip is None
        self._trainable = trainable
        self._clip = clip

    @property
    def whole(self) -> "Whole":
        """The inner strategy, which has whole messages."""
        return cast("Whole", vars(self.strategy)["strategy"])

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the honest strategy; Flower's wrapper is shown the parameters only."""
        self.whole.sent = arrays
        names = required_names(self._trainable, arrays)
        return self.strategy.configure_train(server_round, _only(arrays, names), config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate, with Flower's noise on the parameters."""
        whole, replies = self.whole, list(replies)
        sent, whole.sent = whole.sent, ArrayRecord()
        names = required_names(self._trainable, sent)
        for reply in replies:
            self.clip_reply(reply, sent, names)
            whole.take_buffers(reply, names)
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            arrays = _joined(sent, arrays, whole.aggregated)
        whole.aggregated = ArrayRecord()
        return arrays, metrics

    def clip_reply(self, reply: Message, sent: ArrayRecord, names: frozenset[str]) -> None:
        """Do to a reply what the server does before it aggregates."""
        if self._clip is not None:
            self._clip(reply, sent, names)


class Whole(OuterStrategy):
    """Gives the honest strategy the messages with their buffers, which Flower's was not shown.

    Between two rounds it keeps nothing.
    """

    sums_suffice: ClassVar[bool] = True

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy)
        self.sent = ArrayRecord()
        self.aggregated = ArrayRecord()
        self._uploaded: dict[int, ArrayRecord] = {}

    def take_buffers(self, reply: Message, names: frozenset[str]) -> None:
        """Take all arrays but those of `names` out of a reply, and keep them."""
        uploaded = arrays_of(reply.content, "a participant")
        if len(names) < len(uploaded):
            self._uploaded[reply.metadata.src_node_id] = uploaded
            reply.content = with_arrays(reply.content, _only(uploaded, names))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the honest strategy, with everything that is sent."""
        return self.strategy.configure_train(server_round, self.sent, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate whole uploads; the parameters are returned, and the buffers kept."""
        replies, names = list(replies), None
        for reply in replies:
            uploaded = self._uploaded.pop(reply.metadata.src_node_id, None)
            if uploaded is not None:
                parameters = arrays_of(reply.content, "a participant")
                names = frozenset(parameters)
                reply.content = with_arrays(reply.content, _joined(uploaded, parameters, uploaded))
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        if arrays is None or names is None:
            return arrays, metrics
        self.aggregated = _only(arrays, frozenset(arrays) - names)
        return _only(arrays, names), metrics


def _only(arrays: ArrayRecord, names: frozenset[str]) -> ArrayRecord:
    """Return the arrays of these names, in their order, without a copy."""
    if len(names) == len(arrays):
        return arrays
    return ArrayRecord({name: array for name, array in arrays.items() if name in names})


def _joined(
    order: Mapping[str, Array], parameters: Mapping[str, Array], buffers: Mapping[str, Array]
) -> ArrayRecord:
    """Return parameters and buffers in the order of a whole record."""
    if len(parameters) == len(order):
        return ArrayRecord(dict(parameters.items()))
    return ArrayRecord(
        {name: parameters[name] if name in parameters else buffers[name] for name in order}
    )
