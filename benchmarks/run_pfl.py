"""The same federation on pfl-research; its second process, if any, is started by torchrun."""

import itertools
import os
import sys
from typing import Any

import numpy as np
import torch
from federations import BATCH, LOCAL, WORKLOADS, Workload
from pace import Pace
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn import functional

FOREVER = 2**30


class PflModel(nn.Module):
    """The model with its loss, as pfl wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        self.train()
        return functional.cross_entropy(self.model(inputs), labels)

    def metrics(self, inputs: Tensor, labels: Tensor) -> dict[str, Any]:
        """Return nothing: no round is evaluated here."""
        return {}


class PflRounds(TrainingProcessCallback):  # type: ignore[misc] # pfl is not installed here
    """Ask for leave after each round; the other process waits for the first."""

    def __init__(self, pace: Pace | None) -> None:
        self.number = 1
        self._pace = pace

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """Say whether to stop."""
        self.number += 1
        return not agreed(self._pace), Metrics()


def agreed(pace: Pace | None) -> bool:
    """Return whether another round is wanted, in all processes alike."""
    wanted = torch.tensor([int(pace.may_start()) if pace else 0])
    if torch.distributed.is_initialized():
        torch.distributed.broadcast(wanted, 0)
    return bool(wanted)


def main(work: Workload, end: str) -> None:
    """Run rounds as they are wanted."""
    data = [work.tensors(participant) for participant in range(work.participants)]
    first = os.environ.get("RANK", "0") == "0"
    pace = Pace() if first else None
    rounds = PflRounds(pace)

    def shuffled(participant: int) -> Dataset:
        order = work.order(rounds.number, participant)
        return Dataset([tensor[order] for tensor in data[participant]])

    def users() -> Any:
        return itertools.chain.from_iterable(work.trained(r) for r in itertools.count(1))

    sampled = users()
    net = PflModel(work.new_model())
    model = PyTorchModel(net, torch.optim.SGD, torch.optim.SGD(net.parameters(), 1.0))
    dataset = FederatedDataset(shuffled, lambda: next(sampled))
    agreed(pace)
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=FOREVER,
            evaluation_frequency=FOREVER,
            train_cohort_size=work.cohort,
            val_cohort_size=0,
        ),
        SimulatedBackend(dataset, dataset),
        model,
        NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=LOCAL.learning_rate, local_batch_size=BATCH
        ),
        callbacks=[rounds],
    )
    if pace:
        values = {n: v.detach().numpy() for n, v in net.model.state_dict().items()}
        pace.end({name: np.asarray(value) for name, value in values.items()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(WORKLOADS[sys.argv[1]], sys.argv[-1])
