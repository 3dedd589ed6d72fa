"""Checks of an optimizer: it lowers the loss, and its state survives between rounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fedsim.conformance.checklist import Check, Failed
from fedsim.training.optimizers import (
    Factory,
    optimizer_factory,
    optimizer_tensors,
    restore_optimizer,
)

RATE, STEPS = 0.01, 200


@dataclass(frozen=True)
class OptimizerTrial:
    """An optimizer by name and settings, on a small regression."""

    name: str
    settings: Mapping[str, Any]

    @property
    def factory(self) -> Factory:
        """What makes the optimizer."""
        return optimizer_factory(self.name, self.settings)

    def begun(self, steps: int = 0) -> tuple[nn.Module, Optimizer]:
        """Return a model, and an optimizer of it after some steps."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = self.factory(model.parameters(), RATE)
        if not isinstance(optimizer, Optimizer):
            raise Failed(
                f"it made a {type(optimizer).__name__} from parameters and a learning rate; it "
                "must be a torch.optim.Optimizer"
            )
        _steps(model, optimizer, steps)
        return model, optimizer


def optimizer_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of an optimizer."""
    trial = OptimizerTrial(name, settings)
    claims: Mapping[str, Callable[[OptimizerTrial], str | None]] = {
        "takes the learning rate that it is given": takes_the_rate,
        "lowers the loss": lowers_the_loss,
        "goes on from its state as if it had not stopped": goes_on,
        "remembers only if it says so": remembers_as_it_says,
    }
    return [
        Check("makes an optimizer of a model's parameters", partial(is_made, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
    ]


def is_made(trial: OptimizerTrial) -> None:
    """It can be built and can take a step."""
    trial.begun(steps=1)


def takes_the_rate(trial: OptimizerTrial) -> None:
    """The schedule of `federation.local` changes the rate from round to round."""
    _, optimizer = trial.begun()
    rates = {group["lr"] for group in optimizer.param_groups}
    if rates != {RATE}:
        raise Failed(f"made with the learning rate {RATE}, it has {sorted(rates)}")


@torch.no_grad()
def _loss_of(model: nn.Module) -> float:
    return float(_loss(model))


def lowers_the_loss(trial: OptimizerTrial) -> str:
    """Two hundred steps on a small regression."""
    model, optimizer = trial.begun()
    before = _loss_of(model)
    _steps(model, optimizer, STEPS)
    after = _loss_of(model)
    if not after < before:
        raise Failed(f"after {STEPS} steps at {RATE} the loss is {after:.3g}, from {before:.3g}")
    return f"from {before:.3g} to {after:.3g}"


def goes_on(trial: OptimizerTrial) -> None:
    """Between rounds its tensors travel in a message, and a new optimizer takes them."""
    whole, optimizer = trial.begun(steps=3)
    _steps(whole, optimizer, 3)
    stopped, optimizer = trial.begun(steps=3)
    kept = {name: value.clone() for name, value in optimizer_tensors(optimizer).items()}
    following = trial.factory(stopped.parameters(), RATE)
    restore_optimizer(following, kept)
    _steps(stopped, following, 3)
    pairs = zip(whole.parameters(), stopped.parameters(), strict=True)
    if not all(torch.equal(one, other) for one, other in pairs):
        raise Failed(
            "stopped after 3 steps and gone on from its tensors, it ends elsewhere; what it keeps "
            "must be tensors in optimizer.state"
        )


def remembers_as_it_says(trial: OptimizerTrial) -> None:
    """Engines drop the state of an optimizer that declares to keep none."""
    _, optimizer = trial.begun(steps=2)
    if optimizer_tensors(optimizer) and not trial.factory.remembers:
        raise Failed("it keeps tensors between steps, but its Factory says remembers=False")


def _loss(model: nn.Module) -> Tensor:
    points = torch.linspace(-1, 1, 64).view(16, 4)
    loss: Tensor = (model(points)[:, 0] - points.sum(1).sin()).square().mean()
    return loss


def _steps(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        loss = _loss(model)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
