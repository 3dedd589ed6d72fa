"""Mixup and RelaxLoss: their losses against slow ones, and what they do to a federation."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import nn
from torch.nn import functional

from fedsim import seeds
from fedsim.config.federation import LocalTraining
from fedsim.defences.mixup import Mixup
from fedsim.defences.relax_loss import RelaxedObjective, RelaxLoss
from fedsim.errors import ConfigError
from fedsim.objectives.classification import Classification
from fedsim.objectives.regression import Regression
from fedsim.progress import SILENCE
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.training.sgd import SGD
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

LOCAL = LocalTraining(batch_size=10, epochs=2, learning_rate=0.1)


def batches(objective: Any = None, round_: int = 1) -> Batches:
    return Batches(
        toys.dataset(),
        np.arange(20),
        objective or Classification(),
        LOCAL,
        seed=3,
        round=round_,
        participant=0,
        rounds=4,
    )


def fit(trainer: LocalTrainer, given: Batches) -> tuple[nn.Module, Any]:
    model = toys.new_model()
    generator = seeds.torch_generator(3, "trainer")
    figures = trainer.fit(model, given, TrainerState(), generator, torch.device("cpu"))
    return model, figures


class Recorded(SGD):
    """It notes the batches that it is given, and their losses."""

    def fit(self, model: Any, batches: Any, state: Any, generator: Any, device: Any) -> Any:
        NOTED.clear()
        for inputs, targets in batches:
            outputs = model(inputs)
            loss = batches.objective.training_loss(outputs, targets)
            NOTED.append((inputs, targets, outputs.detach(), loss.item()))
        return {"loss": 0.0}


NOTED: list[Any] = []


def test_mixed_records_and_losses_are_convex_combinations() -> None:
    fit(Mixup(1.0).wrap_trainer(Recorded()), batches())
    plain = [inputs for inputs, _ in batches()]
    weights = []
    for original, (mixed, targets, outputs, loss) in zip(plain, NOTED, strict=True):
        # The weight and partner of each record, found by trying all partners; some have none but
        # themselves.
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        found = []
        for n in range(len(mixed)):
            if torch.allclose(mixed[n], original[n], atol=1e-5):
                continue
            for m in set(range(len(mixed))) - {n}:
                span = original[n] - original[m]
                weight = ((mixed[n] - original[m]) @ span / span.square().sum()).item()
                if torch.allclose(original[m] + weight * span, mixed[n], atol=1e-5):
                    found.append((weight, n, m))
        weight = float(np.median([w for w, _, _ in found]))
        assert all(math.isclose(w, weight, abs_tol=1e-4) for w, _, _ in found)
        partners = {n: m for _, n, m in found}
        others = torch.stack(
            [
                functional.cross_entropy(outputs[n], targets[partners.get(n, n)])
                for n in range(len(mixed))
            ]
        )
        assert loss == pytest.approx((weight * losses + (1 - weight) * others).mean().item(), 1e-5)
        weights.append(weight)
    assert len(set(weights)) == 2
    assert all(0 < weight < 1 for weight in weights)


def test_hardly_mixed_is_plain_training() -> None:
    plain, _ = fit(SGD(), batches())
    mixed, figures = fit(Mixup(1e-4).wrap_trainer(SGD()), batches())
    whole, _ = fit(Mixup(1.0).wrap_trainer(SGD()), batches())
    apart = [
        max(
            (a - b).abs().max().item()
            for a, b in zip(plain.parameters(), m.parameters(), strict=True)
        )
        for m in (mixed, whole)
    ]
    # With alpha near 0 a batch is itself, or itself in another order.
    assert apart[0] < 1e-5 < apart[1]
    assert 0 <= figures["accuracy"] <= 1


def test_the_relaxed_loss_descends_ascends_and_flattens() -> None:
    objective = RelaxedObjective(Classification(), level=1.0)
    outputs = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 1.0]], requires_grad=True)
    targets, wrong = torch.tensor([0, 1]), torch.tensor([1, 0])
    loss = functional.cross_entropy(outputs, targets)
    high = functional.cross_entropy(outputs, wrong)
    assert loss < 1 < high
    assert objective.training_loss(outputs, wrong).item() == high.item()
    (ascends,) = torch.autograd.grad(objective.training_loss(outputs, targets), outputs)
    (descends,) = torch.autograd.grad(loss, outputs)
    torch.testing.assert_close(ascends, -descends)
    objective.epoch = lambda: 2
    (found,) = torch.autograd.grad(objective.training_loss(outputs, targets), outputs)
    probabilities = outputs.detach().softmax(1)
    soft = (1 - probabilities.gather(1, targets[:, None])).expand(2, 3) / 2
    soft = soft.scatter(1, targets[:, None], probabilities.gather(1, targets[:, None]))
    torch.testing.assert_close(found, (probabilities - soft) / 2)


def test_a_relaxed_federation_keeps_its_loss_at_the_level(tmp_path: Path) -> None:
    def last_loss(**sections: Any) -> float:
        model, given = toys.new_model(), batches()
        trainer: LocalTrainer = SGD()
        if sections:
            trainer = RelaxLoss(**sections).wrap_trainer(trainer)
        for round_ in range(1, 41):
            given = batches(round_=round_)
            generator = seeds.torch_generator(3, "trainer", round_)
            trainer.fit(model, given, TrainerState(), generator, torch.device("cpu"))
        inputs, targets = given.of(given.records)
        with torch.no_grad():
            return functional.cross_entropy(model(inputs), targets).item()

    assert last_loss() < 0.1
    assert 0.3 < last_loss(level=0.5) < 0.8


def test_a_trainer_with_records_of_its_own_is_refused() -> None:
    class Own(SGD):
        def fit(self, model: Any, batches: Any, state: Any, generator: Any, device: Any) -> Any:
            return {"loss": 0.0}

    for defence, name in ((Mixup(), "mixup"), (RelaxLoss(), "relax-loss")):
        with pytest.raises(ConfigError, match=f"the defence {name} changes the batches.*Own draws"):
            fit(defence.wrap_trainer(Own()), batches())


def test_relax_loss_is_of_classification() -> None:
    with pytest.raises(ConfigError, match="relax-loss is a defence for objective classification"):
        RelaxLoss().wrap_trainer(SGD()).require_fit(Regression(), LOCAL)


@pytest.mark.parametrize("name", ["mixup", "relax-loss"])
def test_it_is_told_before_anything_runs(name: str) -> None:
    setup = build_setup(toys.experiment(defences=[name]), None, SILENCE)
    assert "participants" in next(iter(setup.defences.values())).in_words()


@pytest.mark.parametrize("make", [lambda: Mixup(0), lambda: RelaxLoss(math.inf)])
def test_settings_that_are_none_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        make()
