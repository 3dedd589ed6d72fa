"""Flower's SecAgg+ (Bell et al., CCS 2020) around an app and strategies of the present API.

Flower has both halves for its former API alone: `secaggplus_mod` reads and writes what a
``NumPyClient`` does, and `SecAggPlusWorkflow` asks a strategy of ``flwr.server``. Here the
participant's half puts what arrives into the present form and what leaves into the former one, and
the server's half is a grid: what a strategy sends to train goes through the protocol's four stages,
and what comes back is, from each node, the mean of all. So nobody on the server's side, the
strategy included, meets an upload that can be read.

Uploads are weighted, clipped to ``clipping_range`` entry by entry, and rounded at random to 2^22
levels. The mean is therefore off by at most ``2 * clipping_range / 2^22`` times the largest number
of records of a participant over the mean number; of records alike, 3.8e-6.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import FitIns, FitRes, Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.serverapp import Grid

from fedsim.errors import FedsimError, MessageError
from fedsim.federation.participation import ParticipatingGrid
from fedsim.transport.messages import ARRAYS, CONFIG, EXAMPLES, METRICS, arrays_of, round_of

STAGE = "secaggplus_configs"
"""The record by which a message of the protocol is known."""
NAMES = "fedsim-names"
"""Under which key the names of the parameters travel, which the former API has no place for."""
LEVELS = 2**22
MODULUS = 2**32
MOST = MODULUS // LEVELS
"""Of how many participants a sum stays below the modulus."""
ALL, HALF = 1.0, 0.5
"""The shares of the participants that get a share of a key, and that recover one."""

Train = Callable[[Message, Context], Message]


def require_maskable(types: Mapping[str, str], error: type[FedsimError]) -> None:
    """Raise an error of that type if a parameter is no floating-point number; `types` by name."""
    if whole := [name for name, kind in types.items() if "float" not in kind]:
        raise error(
            f"SecAgg+ sums floating-point numbers, and {whole[0]!r} is none; take a model "
            "without counters, as one with GroupNorm"
        )


def is_masked(message: Message) -> bool:
    """Return whether a message is one of the protocol."""
    return STAGE in message.content


def answer_masked(message: Message, context: Context, train: Train) -> Message:
    """Return a participant's answer to a stage of the protocol; in one of them it trains.

    Parameters
    ----------
    message, context
        Of the participant's app.
    train
        Answers a message to train, in the present API's terms.
    """

    def fit(asked: Message, context: Context) -> Message:
        asked.content = _present(asked.content)
        reply = train(asked, context)
        reply.content = _former(reply.content)
        return reply

    answer: Message = secaggplus_mod(message, context, fit)
    return answer


def _present(asked: RecordDict) -> RecordDict:
    """Return the content to train on that a ``FitIns`` was made of."""
    config = dict(asked.config_records["fitins.config"])
    names = str(config.pop(NAMES)).split("\n")
    sent = asked.array_records["fitins.parameters"]
    values = parameters_to_ndarrays(Parameters([a.data for a in sent.values()], "numpy.ndarray"))
    arrays = ArrayRecord({n: Array(value) for n, value in zip(names, values, strict=True)})
    return RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord(config)})


def _former(content: RecordDict) -> RecordDict:
    """Return a reply's content as a ``FitRes`` has it."""
    upload = arrays_of(content, "local training")
    metrics: dict[str, Any] = dict(next(iter(content.metric_records.values()), MetricRecord()))
    examples = metrics.pop(EXAMPLES, 0)
    values = {str(n): Array(array.numpy()) for n, array in enumerate(upload.values())}
    return RecordDict(
        {
            "fitres.parameters": ArrayRecord(values),
            "fitres.num_examples": MetricRecord({"num_examples": examples}),
            "fitres.metrics": ConfigRecord(metrics),
            "fitres.status": ConfigRecord({"code": 0, "message": ""}),
        }
    )


class MaskedGrid(ParticipatingGrid):
    """A grid on which uploads are summed by SecAgg+, and none arrives that can be read.

    Parameters
    ----------
    grid
        What reaches the participants.
    nodes
        Their ids.
    max_weight
        The largest number of records that a participant has.
    clipping_range
        The largest magnitude of a parameter times weight over `max_weight`; what is larger is cut.
    """

    def __init__(
        self, grid: Grid, nodes: Iterable[int], *, max_weight: float, clipping_range: float
    ) -> None:
        super().__init__(grid, nodes)
        self._max_weight, self._clipping_range = max_weight, clipping_range

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send what is to be trained through the protocol, and all else as it is."""
        sent = list(messages)
        if not sent or sent[0].metadata.message_type.partition(".")[0] != "train":
            return self._grid.send_and_receive(sent, timeout=timeout)
        return self._summed(sent, timeout)

    def _summed(self, sent: Sequence[Message], timeout: float | None) -> list[Message]:
        """Return a reply of each node that has the mean of all uploads."""
        if not 2 <= len(sent) <= MOST:
            raise MessageError(
                f"SecAgg+ sums the uploads of 2 to {MOST:,} participants, and the strategy asked "
                f"{len(sent):,}; let more or fewer take part in each round"
            )
        arrays = arrays_of(sent[0].content, "the server")
        names, types = list(arrays), [array.dtype for array in arrays.values()]
        require_maskable(dict(zip(names, types, strict=True)), MessageError)
        round_number = round_of(sent[0])
        strategy = _Asking(sent)
        state = RecordDict(
            {
                "config": ConfigRecord({"current_round": round_number}),
                "parameters": ArrayRecord({"0": Array(np.zeros(1))}),
            }
        )
        context: Any = LegacyContext(
            Context(run_id=0, node_id=0, node_config={}, state=state, run_config={}),
            strategy=strategy,  # type: ignore[arg-type]
            client_manager=SimpleNamespace(num_available=lambda: len(sent)),  # type: ignore[arg-type]
        )
        workflow = SecAggPlusWorkflow(
            ALL,
            HALF,
            max_weight=self._max_weight,
            clipping_range=self._clipping_range,
            quantization_range=LEVELS,
            modulus_range=MODULUS,
            timeout=timeout,
        )
        workflow(self._grid, context)
        if len(strategy.results) < len(sent):
            raise MessageError(
                f"SecAgg+ did not come to its end in round {round_number}: "
                f"{len(strategy.results)} of {len(sent)} participants answered all its stages"
            )
        return [
            Message(_content(strategy.results[m.metadata.dst_node_id], names, types), reply_to=m)
            for m in sent
        ]


def _content(result: FitRes, names: Sequence[str], types: Sequence[str]) -> RecordDict:
    """Return a reply's content with the mean, and with what a node said of its own training."""
    values = parameters_to_ndarrays(result.parameters)
    mean = {
        name: Array(np.asarray(value, kind))
        for name, value, kind in zip(names, values, types, strict=True)
    }
    said: dict[str, Any] = {EXAMPLES: result.num_examples, **result.metrics}
    return RecordDict({ARRAYS: ArrayRecord(mean), METRICS: MetricRecord(said)})


class _Asking:
    """What the workflow asks of a strategy of the former API: whom to send what, and what it is."""

    def __init__(self, sent: Sequence[Message]) -> None:
        self._sent = sent
        self.results: dict[int, FitRes] = {}

    def configure_fit(self, *_: Any) -> list[tuple[Any, FitIns]]:
        """Return what was sent, node by node."""
        return [(SimpleNamespace(node_id=m.metadata.dst_node_id), _asked(m)) for m in self._sent]

    def aggregate_fit(
        self, _: int, results: Sequence[tuple[Any, FitRes]], failures: Sequence[Any]
    ) -> tuple[None, dict[str, Any]]:
        """Note the results, whose parameters are all the mean."""
        if not failures:
            self.results = {proxy.node_id: result for proxy, result in results}
        return None, {}


def _asked(message: Message) -> FitIns:
    arrays = arrays_of(message.content, "the server")
    config: dict[str, Any] = {NAMES: "\n".join(arrays)}
    for record in message.content.config_records.values():
        config |= dict(record)
    return FitIns(ndarrays_to_parameters([array.numpy() for array in arrays.values()]), config)
