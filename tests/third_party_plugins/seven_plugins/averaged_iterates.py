"""A local trainer with state of its own."""

from collections.abc import Mapping

import torch
from torch import nn

from fedsim import Batches, LocalTrainer, TrainerState


class AveragedIterates(LocalTrainer):
    """Descend with momentum, and upload the mean of the iterates (Polyak and Juditsky, 1992)."""

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum

    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Train in place; velocities live from round to round, and so does the count of steps."""
        model.train()
        parameters = dict(model.named_parameters())
        sums = {name: torch.zeros_like(p) for name, p in parameters.items()}
        total, records, steps = 0.0, 0, 0
        for _ in range(batches.local.epochs):
            for inputs, targets in batches:
                model.zero_grad()
                loss = batches.objective.mean_loss(model(inputs), targets)
                loss.backward()
                with torch.no_grad():
                    for name, p in parameters.items():
                        velocity = state.arrays.setdefault(name, torch.zeros_like(p))
                        velocity.mul_(self.momentum).add_(p.grad)
                        p.sub_(velocity, alpha=batches.learning_rate)
                        sums[name] += p
                total, records = total + loss.item() * len(targets), records + len(targets)
                steps += 1
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(sums[name] / steps)
        state.plain["steps"] = state.plain.get("steps", 0) + steps
        return {"loss": total / records}
