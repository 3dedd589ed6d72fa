"""The same federation on Flower's own simulation runtime, two actors of one CPU each.

The app is as in Flower's PyTorch quickstart. `run_simulation` is deprecated, but what replaces it,
`flwr run`, runs a copy of the app in the background, where its rounds could not be timed in turn.
"""

import sys

import numpy as np
from federations import WORKLOADS, Workload
from flower_clients import client_app
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from pace import Pace

from fedsim.federation.node_identification import identify_nodes

NAME = sys.argv[1]


class SampledByParticipant(FedAvg):
    """FedAvg that trains whom the workload says: node ids are different in every run."""

    def __init__(self, work: Workload, node_of: dict[int, int]) -> None:
        super().__init__(min_available_nodes=work.participants)
        self._work = work
        self._node_of = node_of

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return the round's messages."""
        config["server-round"] = server_round
        record = RecordDict({"arrays": arrays, "config": config})
        nodes = [self._node_of[participant] for participant in self._work.trained(server_round)]
        return [Message(record, node, "train") for node in nodes]


def server_app(pace: Pace) -> ServerApp:
    """Return the server's app, which does what `Strategy.start` does as rounds are wanted."""
    app = ServerApp()

    @app.main()
    def serve(grid: Grid, context: Context) -> None:
        work = WORKLOADS[NAME]
        while len(list(grid.get_node_ids())) < work.participants:
            pass
        participant_of = identify_nodes(grid, work.participants)
        strategy = SampledByParticipant(work, {p: node for node, p in participant_of.items()})
        arrays, round_number = ArrayRecord(work.new_model().state_dict()), 0
        while pace.may_start():
            round_number += 1
            messages = strategy.configure_train(round_number, arrays, ConfigRecord(), grid)
            replies = list(grid.send_and_receive(messages))
            aggregate, _ = strategy.aggregate_train(round_number, replies)
            assert aggregate is not None  # noqa: S101 - all have answered
            arrays = aggregate
        pace.end({name: np.asarray(array.numpy()) for name, array in arrays.items()})

    return app


if __name__ == "__main__":
    run_simulation(
        server_app(Pace()),
        client_app(NAME),
        num_supernodes=WORKLOADS[NAME].participants,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": 2},
        },
    )
