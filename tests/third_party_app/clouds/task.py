"""The model, the data, and how both come together."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

FEATURES, CLASSES, RECORDS = 16, 6, 1200


class Net(nn.Module):
    """A small network with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(FEATURES, 128)
        self.norm = nn.BatchNorm1d(128)
        self.out = nn.Linear(128, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.norm(self.hidden(x))))


def all_records() -> tuple[np.ndarray, np.ndarray]:
    """Overlapping clouds of points."""
    random = np.random.default_rng(7)
    labels = random.integers(CLASSES, size=RECORDS)
    centres = 0.5 * random.normal(size=(CLASSES, FEATURES))
    points = centres[labels] + random.normal(size=(RECORDS, FEATURES))
    return points.astype(np.float32), labels


def load_data(partition_id: int, num_partitions: int) -> tuple[DataLoader, DataLoader]:
    """Every third record is for testing; the others go round the partitions."""
    points, labels = (torch.from_numpy(array) for array in all_records())
    records = np.arange(RECORDS)
    testing = records % 3 == 2
    own = records[~testing][partition_id::num_partitions]
    train = TensorDataset(points[own], labels[own])
    test = TensorDataset(points[testing], labels[testing])
    order = torch.Generator().manual_seed(partition_id)
    return (
        DataLoader(train, batch_size=25, shuffle=True, generator=order),
        DataLoader(test, batch_size=100),
    )


def train(net: nn.Module, loader: DataLoader, epochs: int, lr: float) -> float:
    """Train the network and return the mean loss of the last epoch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    net.train()
    for _ in range(epochs):
        total = 0.0
        for points, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(points), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
    return total / len(loader)


@torch.no_grad()
def test(net: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Return loss and accuracy on the test records."""
    net.eval()
    loss, right = 0.0, 0
    for points, labels in loader:
        outputs = net(points)
        loss += F.cross_entropy(outputs, labels).item()
        right += int((outputs.argmax(1) == labels).sum())
    return loss / len(loader), right / len(loader.dataset)
