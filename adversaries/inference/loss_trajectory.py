"""Loss trajectory: a multilayer perceptron over the losses of all snapshots, in their order.

Liu, Zhao, Backes and Zhang, *Membership Inference Attacks by Exploiting Loss Trajectory*, CCS 2022.
The paper obtains a trajectory by distilling the target and trains on that of a shadow model; in a
federation the rounds are the trajectory, and the network (512-128-32, as in the paper) is trained
on the known records, cross-fitted. It reads log-odds, which do not underflow as losses do.
"""

from torch import Tensor, nn

from adversaries.inference.confidence_series import ConfidenceSeries


class LossTrajectory(ConfidenceSeries):
    """Score a record by a perceptron over its losses in each round (Liu et al. 2022).

    Parameters
    ----------
    epochs
        Of training.
    """

    title = "loss trajectory"

    def network(self, rounds: int, columns: int) -> nn.Module:
        """Return a perceptron."""
        return Perceptron(rounds * columns)


class Perceptron(nn.Module):
    """512-128-32-1 over a flattened sequence: (B, T, S) to logits (B,)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((columns, 512), (512, 128), (128, 32)):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.2)]
        self.body = nn.Sequential(*layers, nn.Linear(32, 1))

    def forward(self, series: Tensor) -> Tensor:
        """Return the logit of membership."""
        logits: Tensor = self.body(series.flatten(1))[:, 0]
        return logits
