"""`dp-sgd` against descent written by hand, and its accountant through a stop."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from opacus.accountants import RDPAccountant
from torch import Tensor
from torch.nn import functional

from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.errors import ConfigError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import PLAIN_STATE, Participants
from fedsim.objectives import Classification
from fedsim.training.dp_sgd import DPSGD
from fedsim.training.privacy_history import epsilon_of_history
from fedsim.training.trainer import TrainerState

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
DATA = toys.dataset()
SETS = toys.training_sets(DATA)
PLAIN = Choice(name="sgd", momentum=0.0)


def fitted(
    trainer: DPSGD, state: TrainerState | None = None, **local: Any
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return participant 0's parameters after a round, and the figures."""
    training = LocalTraining(**({"learning_rate": 0.1, "optimizer": PLAIN} | local))
    members = Participants(DATA, SETS, toys.new_model, training, None, 3)
    model = toys.new_model()
    generator = torch.Generator().manual_seed(7)
    figures = trainer.fit(
        model, members.batches(0, 1), state or TrainerState(), generator, torch.device("cpu")
    )
    assert not any(hasattr(p, "grad_sample") for p in model.parameters())
    return model.state_dict(), dict(figures)


def by_hand(clip: float) -> dict[str, Tensor]:
    """Return parameters after one step on the mean of clipped gradients, record by record."""
    model = toys.new_model()
    inputs, labels = DATA.batch(SETS[0])
    total = [torch.zeros_like(p) for p in model.parameters()]
    for one, label in zip(inputs, labels, strict=True):
        loss = functional.cross_entropy(model(one[None]), label[None])
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.cat([g.flatten() for g in gradient]).norm().item()
        for whole, part in zip(total, gradient, strict=True):
            whole += part * min(1.0, clip / (norm + 1e-6))
    with torch.no_grad():
        for parameter, gradient in zip(model.parameters(), total, strict=True):
            parameter -= 0.1 * gradient / len(labels)
    return model.state_dict()


@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_without_noise_it_is_descent_on_clipped_gradients(clip: float) -> None:
    ours, _ = fitted(DPSGD(noise_multiplier=0.0, clip_norm=clip), batch_size=100)
    for name, value in by_hand(clip).items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)


def test_what_opacus_does_to_pytorch_is_not_warned_of() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(DPSGD(noise_multiplier=1.0))
    assert not [one for one in caught if "hook" in str(one.message)]


def test_the_noise_has_its_size() -> None:
    quiet, _ = fitted(DPSGD(noise_multiplier=0.0), batch_size=100)
    loud, _ = fitted(DPSGD(noise_multiplier=4.0, clip_norm=0.5), batch_size=100)
    steady, _ = fitted(DPSGD(noise_multiplier=0.0, clip_norm=0.5), batch_size=100)
    noise = torch.cat([(loud[n] - steady[n]).flatten() for n in quiet])
    assert noise.std().item() == pytest.approx(0.1 * 4.0 * 0.5 / len(SETS[0]), rel=0.15)


def test_batches_are_drawn_by_coin_tosses_and_may_be_empty() -> None:
    local = {"batch_size": 1, "epochs": 1}
    ours, figures = fitted(DPSGD(noise_multiplier=1.0), **local)
    assert all(torch.isfinite(value).all() for value in ours.values())
    assert figures["epsilon"] > 0


def test_epsilon_is_of_all_rounds() -> None:
    state = TrainerState()
    trainer = DPSGD(noise_multiplier=1.5)
    _, first = fitted(trainer, state, batch_size=10)
    _, second = fitted(trainer, state, batch_size=10)
    assert state.plain["accountant"] == [[1.5, 0.25, 8]]
    whole = RDPAccountant()
    for _ in range(8):
        whole.step(noise_multiplier=1.5, sample_rate=0.25)
    assert second["epsilon"] == pytest.approx(whole.get_epsilon(1e-5))
    assert first["epsilon"] < second["epsilon"]
    assert epsilon_of_history([[1.5, 0.25, 8]], 1e-5) == pytest.approx(second["epsilon"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_accountant_lives_through_a_stop(tmp_path: Path, optimizer: str) -> None:
    local = {"batch_size": 10, "trainer": "dp-sgd", "optimizer": optimizer}
    federation = {"rounds": 4, "local": local}
    whole = toys.simulated(tmp_path / "whole", federation=federation)
    kept = Checkpoint.load(whole.checkpoint("honest"))
    for states in kept.states.values():
        state = TrainerState.of(None, states.config_records[PLAIN_STATE])
        assert state.plain["accountant"] == [[1.0, 0.25, 16]]
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "cut", watcher=toys.Stopping(2), federation=federation)
    again = toys.simulated(tmp_path / "cut", federation=federation)
    assert toys.content_of(again) == toys.content_of(whole)


def test_a_step_in_parts_is_the_same_step() -> None:
    whole, figures = fitted(DPSGD(clip_norm=0.5), batch_size=40)
    parts, same = fitted(DPSGD(clip_norm=0.5, physical_batch_size=7), batch_size=40)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-5, atol=1e-7)
    assert same == pytest.approx(figures)


def test_settings_of_other_trainers_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave precision and drop_last out"):
        DPSGD().require_fit(Classification(), LocalTraining(drop_last=True))
