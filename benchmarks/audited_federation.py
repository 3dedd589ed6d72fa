"""What simulating costs beside a plain PyTorch loop that does the same arithmetic.

The small CIFAR-100 federation (4 participants x 5,000 records, AlexNet, batches of 100) with a
curious server and a curious participant, against a loop over participants with one model, data
prepared beforehand, momentum kept in memory, no messages, no snapshots, no checks. A block is five
rounds, the last of which is evaluated and observed. Records are random images of the same shape, so
no data set is needed. Both end with the same parameters; the largest difference is printed.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from paired import arguments, interleaved, publish, ratios
from torch import Tensor, nn
from torch.nn import functional

from adversaries import CuriousParticipant, CuriousServer
from fedsim import seeds
from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.config.federation import LocalTraining
from fedsim.data import Arrays, Dataset
from fedsim.data.splitting import from_arrays
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models import alexnet
from fedsim.models.exchange import exchanged_shapes
from fedsim.objectives import Classification
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import Policy, SnapshotStore
from fedsim.training.sgd_loop import Utility, evaluate

ROUNDS = 5
PARTICIPANTS = 4
EVALUATED = 2000
SEED = 0
LOCAL = LocalTraining.model_validate_json(
    '{"optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4}, "learning_rate": 0.02}'
)


@dataclass(frozen=True)
class AuditedWorkload:
    """The federation that both sides train."""

    dataset: Dataset
    training_sets: Sequence[NDArray[np.int64]]
    test: NDArray[np.int64]

    @classmethod
    def of(cls, records: int) -> "AuditedWorkload":
        """Return a federation of so many records a participant."""
        random = seeds.generator(SEED, "benchmark")
        count = PARTICIPANTS * records + EVALUATED
        arrays = Arrays(
            random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
            random.integers(0, 100, count),
            np.arange(count) >= PARTICIPANTS * records,
            mean=(127.5,) * 3,
            std=(64.0,) * 3,
        )
        dataset = from_arrays("random images", arrays, test_records=None, seed=SEED)
        pool = dataset.pool_records.reshape(PARTICIPANTS, records)
        return cls(dataset, list(pool), dataset.test_records)

    def new_model(self) -> nn.Module:
        """Return the model with its initial parameters."""
        with seeds.global_draws(SEED, "model"):
            return alexnet(100)


@dataclass
class FedsimSide:
    """The federation as `fedsim run` runs it: messages, checks, snapshots, a checkpoint."""

    workload: AuditedWorkload
    folder: Path
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        """Build server and participants."""
        work = self.workload
        observed = Policy(
            frozenset({ROUNDS}), frozenset({SnapshotKind.AGGREGATE.of(), SnapshotKind.UPLOAD.of(0)})
        )
        server = CuriousServer().keep_in(SnapshotStore(self.folder / "server", observed))
        position = CuriousParticipant(3).keep_in(
            SnapshotStore(self.folder / "participant", observed)
        )
        app = make_client_app(
            Participants(
                work.dataset,
                work.training_sets,
                work.new_model,
                LOCAL,
                EVALUATED // PARTICIPANTS,
                SEED,
            ),
            [position],
        )
        self.model = work.new_model()
        self.grid = LocalGrid(app, PARTICIPANTS)
        self.participant_of = identify_nodes(self.grid, PARTICIPANTS)
        honest = build_strategy("FedAvg", {}, PARTICIPANTS)
        self.strategy = AdversarialStrategy(honest, [server], self.participant_of)
        self.initial = {name: value.clone() for name, value in self.model.state_dict().items()}

    def block(self) -> None:
        """Run one block from the start."""
        for state in (empty := self.grid.states()).values():
            state.clear()
        self.grid.restore(empty)
        schedule = Schedule(ROUNDS, ROUNDS, SEED, exchanged_shapes(self.model), self._test)
        self.progress = run_rounds(
            self.grid,
            self.strategy,
            Progress(0, ArrayRecord(self.initial)),
            schedule,
            self.participant_of,
        )
        kept = Checkpoint.of(self.progress, self.grid.states(), self.strategy)
        kept.save(self.folder / "checkpoint.safetensors")

    def parameters(self) -> dict[str, Tensor]:
        """Return where the last block ended."""
        return dict(self.progress.arrays.to_torch_state_dict())

    def _test(self, arrays: ArrayRecord) -> Utility:
        self.model.load_state_dict(arrays.to_torch_state_dict())
        return evaluate(self.model, self.workload.dataset, self.workload.test, Classification())


@dataclass
class PlainLoop:
    """The same arithmetic, written as anyone would who needs nothing but the final parameters."""

    workload: AuditedWorkload
    aggregate: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the tensors of every participant."""
        work = self.workload
        self.data = [work.dataset.tensors(records) for records in work.training_sets]
        self.test = work.dataset.tensors(work.test)
        self.model = work.new_model()
        self.initial = {name: value.clone() for name, value in self.model.state_dict().items()}

    def block(self) -> None:
        """Run one block from the start."""
        model = self.model
        self.aggregate = self.initial
        optimizers = [
            torch.optim.SGD(model.parameters(), 0.02, 0.9, weight_decay=5e-4, fused=True)
            for _ in range(PARTICIPANTS)
        ]
        for round_number in range(1, ROUNDS + 1):
            total = {name: torch.zeros_like(value) for name, value in self.initial.items()}
            for participant, optimizer in enumerate(optimizers):
                model.load_state_dict(self.aggregate)
                self._train(optimizer, round_number, participant)
                for name, value in model.state_dict().items():
                    total[name] += value / PARTICIPANTS
            self.aggregate = total
        model.load_state_dict(self.aggregate)
        model.eval()
        with torch.inference_mode():
            for inputs, labels in (*self._evaluated(), self.test):
                for start in range(0, len(labels), 500):
                    model(inputs[start : start + 500])

    def parameters(self) -> dict[str, Tensor]:
        """Return where the last block ended."""
        return self.aggregate

    def _train(self, optimizer: torch.optim.Optimizer, round_number: int, participant: int) -> None:
        inputs, labels = self.data[participant]
        own = self.workload.training_sets[participant]
        order = seeds.generator(SEED, "batches", round_number, participant).permutation(own)
        places = torch.from_numpy(order - own[0])
        self.model.train()
        for start in range(0, len(places), 100):
            chosen = places[start : start + 100]
            loss = functional.cross_entropy(self.model(inputs[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _evaluated(self) -> list[tuple[Tensor, Tensor]]:
        share = EVALUATED // PARTICIPANTS
        return [(inputs[:share], labels[:share]) for inputs, labels in self.data]


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    workload = AuditedWorkload.of(500 if options.quick else 5000)
    with tempfile.TemporaryDirectory() as folder, local_identity():
        simulated, plain = FedsimSide(workload, Path(folder)), PlainLoop(workload)
        contenders: dict[str, Callable[[], object]] = {
            "fedsim": simulated.block,
            "plain loop": plain.block,
        }
        seconds = interleaved(contenders, 2 if options.quick else 4)
        reference = plain.parameters()
        difference = max(
            float((value - reference[name]).abs().max())
            for name, value in simulated.parameters().items()
        )
    figures = {
        "seconds a block of 5 rounds": seconds,
        "fedsim / plain loop": ratios(seconds, "fedsim", "plain loop"),
        "largest difference of a parameter": difference,
    }
    publish(figures, options.json)


if __name__ == "__main__":
    main()
