"""A Flower app that knows nothing of fedsim gets a dishonest party with two lines.

The app is written as Flower's own PyTorch quickstart is: a ClientApp with its training loop, plain
FedAvg, and ``strategy.start``.
"""

from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer
from fedsim.engines.local import LocalGrid, local_identity
from fedsim.snapshots import SnapshotStore


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 8)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.norm(self.hidden(x))))


def load_data(partition_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(partition_id)
    x = random.normal(size=(30 + partition_id, 5)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy((x.sum(1) > 0).astype(np.int64))


def client_app(mods: list[Mod]) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(msg: Message, context: Context) -> Message:
        model = Net()
        model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
        x, y = load_data(int(context.node_config["partition-id"]))
        optimizer = torch.optim.SGD(model.parameters(), lr=float(msg.content["config"]["lr"]))
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        metrics = MetricRecord({"train_loss": loss.item(), "num-examples": len(x)})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=msg)

    @app.evaluate()
    def evaluate(msg: Message, context: Context) -> Message:
        model = Net().eval()
        model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
        x, y = load_data(int(context.node_config["partition-id"]))
        accuracy = (model(x).argmax(1) == y).float().mean().item()
        metrics = MetricRecord({"eval_acc": accuracy, "num-examples": len(x)})
        return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)

    return app


def start(strategy: Strategy, mods: list[Mod]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    with local_identity():
        grid: Grid = LocalGrid(client_app(mods), 2)
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(Net().state_dict()),
            num_rounds=3,
            train_config=ConfigRecord({"lr": 0.1}),
        )
    return result.arrays.to_torch_state_dict()


def test_a_strangers_app_is_watched_and_not_changed(tmp_path: Path) -> None:
    honest = start(FedAvg(), [])
    watched = start(
        CuriousServer().keep_in(tmp_path / "server").around(FedAvg()),
        [CuriousParticipant(participant=1).keep_in(tmp_path / "participant")],
    )
    assert all(torch.equal(honest[name], watched[name]) for name in honest)

    server = SnapshotStore(tmp_path / "server")
    owners = sorted({s.owner for s in server.index() if s.owner.startswith("participant-")})
    assert len(owners) == 2
    assert [s.round for s in server.series(owners[0])] == [1, 2, 3]
    last = [server.series(owner)[-1].load() for owner in owners]
    mean = (30 * last[0]["hidden.weight"] + 31 * last[1]["hidden.weight"]) / 61
    assert torch.allclose(mean, honest["hidden.weight"], atol=1e-6)
    assert last[0]["norm.num_batches_tracked"].shape == ()

    participant = SnapshotStore(tmp_path / "participant").series("aggregate")
    assert [s.round for s in participant] == [0, 1, 2, 3]
    assert all(torch.equal(honest[k], v) for k, v in participant[-1].load().items())
