"""What a Ray cluster costs and gains: time above the arithmetic, bytes, two nodes.

- ``overhead``: a round of participants who return a copy of what they were sent, above the making
  of these copies alone, so all there is to measure is the engine; against 15 ms + 1 ms a
  participant. The local engine's is given beside it; and what goes through the object store in such
  a round, in sets of parameters.
- ``two nodes``: rounds of real training on two nodes of one core each, on loopback, against one
  process with one thread: this one, and one of the cluster's. Final parameters must be equal bit
  for bit.

How cost grows with the participants is in `growth`.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from federations import LOCAL, SEED, WORKLOADS, Workload
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from paired import arguments, interleaved, publish, ratios
from ray.cluster_utils import Cluster
from torch import nn

from fedsim.config.choice import Choice
from fedsim.config.engine import LocalEngine, RayEngine
from fedsim.engines.base import NodesGrid
from fedsim.engines.factory import open_engine
from fedsim.engines.flower_identity import local_identity
from fedsim.engines.ray.grid import RayGrid
from fedsim.engines.threads import limited_threads
from fedsim.federation.client_app import Participants, answer_identification, make_client_app
from fedsim.federation.log_filters import quiet_ray
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models.exchange import exchanged_shapes
from fedsim.training.sgd_loop import Utility
from fedsim.training.vectorized.trainer import stacking_pays
from fedsim.transport.messages import ROUND

BAR_SECONDS, BAR_SECONDS_EACH = 0.015, 0.001


def federation(participants: int, records: int, widths: Sequence[int]) -> Workload:
    """Return a federation of fully connected networks in which everybody trains."""
    model = Choice(name="fully-connected", widths=widths)
    return Workload(participants, records, participants, model, (600,), 1)


def copied(content: RecordDict) -> ArrayRecord:
    """Return parameters with the same values and bytes of their own."""
    [arrays] = content.array_records.values()
    return ArrayRecord(arrays.to_torch_state_dict())


def idle_app() -> ClientApp:
    """Return an app whose participants return a copy of what they were sent."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: object) -> Message:
        return Message(RecordDict({"arrays": copied(message.content)}), reply_to=message)

    app.query()(answer_identification)
    return app


class Unevaluated(Schedule):
    """Rounds of training only."""

    def evaluates(self, round_number: int) -> bool:
        """Return that none is evaluated."""
        return False


def train(grid: NodesGrid, participants: int, rounds: int, model: nn.Module) -> ArrayRecord:
    """Run rounds of FedAvg with everybody in them, and return where they end."""
    schedule = Unevaluated(
        rounds, 1, SEED, exchanged_shapes(model), lambda arrays: Utility(0.0, 0.0, 0)
    )
    participant_of = identify_nodes(grid, participants)
    ended: list[ArrayRecord] = []

    def after_round(progress: Progress) -> None:
        ended.append(progress.arrays)
        grid.states()

    strategy = build_strategy("FedAvg", {}, participants)
    start = Progress(0, ArrayRecord(model.state_dict()))
    run_rounds(grid, strategy, start, schedule, participant_of, after_round)
    return ended[-1]


def overhead(participants: int, repetitions: int) -> dict[str, Any]:
    """Time rounds without arithmetic on both engines."""
    state = federation(participants, 1, [128]).new_model().state_dict()
    size = sum(len(array.data) for array in ArrayRecord(state).values())

    def content() -> RecordDict:
        return RecordDict({"arrays": ArrayRecord(state), "config": ConfigRecord({ROUND: 1})})

    def block(grid: NodesGrid) -> None:
        sent = content()
        grid.send_and_receive(Message(sent, node, "train") for node in grid.get_node_ids())

    def copies() -> list[ArrayRecord]:
        sent = content()
        return [copied(sent) for _ in range(participants)]

    with (
        open_engine(RayEngine(actors=2)) as on_ray,
        on_ray(idle_app(), participants) as ray_grid,
        open_engine(LocalEngine()) as locally,
        locally(idle_app(), participants) as local_grid,
    ):
        assert isinstance(ray_grid, RayGrid)  # noqa: S101 - it has figures
        contenders: dict[str, Callable[[], object]] = {
            "ray": partial(block, ray_grid),
            "local": partial(block, local_grid),
            "copies": copies,
        }
        seconds = interleaved(contenders, repetitions)
        before = ray_grid.traffic.sent_bytes, ray_grid.traffic.received_bytes
        block(ray_grid)
        after = ray_grid.traffic.sent_bytes, ray_grid.traffic.received_bytes
    bar = BAR_SECONDS + BAR_SECONDS_EACH * participants
    above = {
        name: [time - alone for time, alone in zip(seconds[name], seconds["copies"], strict=True)]
        for name in ("ray", "local")
    }
    return {
        "participants": participants,
        "milliseconds a round": 1e3 * statistics.median(seconds["ray"]),
        "milliseconds above the copies": 1e3 * statistics.median(above["ray"]),
        "of the bar": statistics.median(above["ray"]) / bar,
        "milliseconds above the copies, local engine": 1e3 * statistics.median(above["local"]),
        "bytes of the parameters": size,
        "bytes sent, in parameters": (after[0] - before[0]) / size,
        "bytes received, in parameters a participant": (after[1] - before[1]) / size / participants,
    }


@contextmanager
def two_nodes() -> Iterator[str]:
    """Give the address of a cluster of two nodes with a core each, on this machine."""
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 2**29}
    with quiet_ray():
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        try:
            yield cluster.address
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]


def side_by_side(work: Workload, rounds: int, repetitions: int) -> dict[str, Any]:
    """Time real training on two nodes against one process, ours and the cluster's."""
    members = Participants(work.dataset, work.training_sets, work.new_model, LOCAL, None, SEED)
    app, model = make_client_app(members, stacked=stacking_pays(members)), work.new_model()
    ends: dict[str, ArrayRecord] = {}

    def block(name: str, grid: NodesGrid) -> None:
        ends[name] = train(grid, work.participants, rounds, model)

    with ExitStack() as stack:
        address = stack.enter_context(two_nodes())

        def grid_on(engine: LocalEngine | RayEngine) -> NodesGrid:
            new_grid = stack.enter_context(open_engine(engine))
            return stack.enter_context(new_grid(app, work.participants))

        grids = {
            "one thread": grid_on(LocalEngine()),
            # They take turns, and half a core each on paper: so there is room for all of them.
            "two nodes": grid_on(RayEngine(address=address, actors=2, cpus=0.5)),
            "one worker of the cluster": grid_on(RayEngine(address=address, actors=1, cpus=0.5)),
        }
        contenders = {name: partial(block, name, grid) for name, grid in grids.items()}
        seconds = interleaved(contenders, repetitions)
    reference = ends["one thread"].items()
    return {
        "participants": work.participants,
        "seconds a round, one thread": statistics.median(seconds["one thread"]) / rounds,
        "times one thread's speed": ratios(seconds, "one thread", "two nodes"),
        "times the speed of one worker of the cluster": ratios(
            seconds, "one worker of the cluster", "two nodes"
        ),
        "parameters are equal": all(
            end[name].data == array.data for end in ends.values() for name, array in reference
        ),
    }


def main() -> None:
    """Measure and print."""
    chosen = arguments(__doc__ or "")
    quick = chosen.quick
    with limited_threads(1), local_identity():
        figures: dict[str, Any] = {
            "overhead": [overhead(n, 3 if quick else 30) for n in ([10] if quick else [10, 100])],
            "two nodes": {"quick": side_by_side(federation(4, 50, [128]), 1, 1)}
            if quick
            else {
                name: side_by_side(work, rounds, 5)
                for (name, work), rounds in zip(list(WORKLOADS.items())[1:], (4, 1), strict=True)
            },
        }
    publish(figures, chosen.json)


if __name__ == "__main__":
    main()
