"""Each setting of the trainer `sgd` against the loop written by hand, and trainers of one's own."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
import trainers
from torch import Tensor
from torch.nn import functional

from fedsim import seeds
from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.errors import ConfigError, FedsimError, MessageError, PluginError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import PLAIN_STATE, Participants
from fedsim.objectives import Classification, Regression
from fedsim.training.augmentation import augmented
from fedsim.training.trainer import TrainerState, build_trainer
from fedsim.training.vectorized.trainer import stack_training

DATA = toys.dataset()
SETS = toys.training_sets(DATA)
State = dict[str, Tensor]


def fitted(round_number: int = 1, **settings: Any) -> State:
    """Return participant 0's parameters after a round with these settings of `federation.local`."""
    local = LocalTraining(batch_size=16, learning_rate=0.1, **settings)
    members = Participants(DATA, SETS, toys.new_model, local, None, 3, rounds=6)
    model, trainer = toys.new_model(), build_trainer(local)
    draws = (3, "training", round_number, 0)
    with seeds.global_draws(*draws):
        trainer.fit(
            model,
            members.batches(0, round_number),
            TrainerState(),
            seeds.torch_generator(*draws),
            torch.device("cpu"),
        )
    return model.state_dict()


def by_hand(
    loss_of: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    *,
    rate: float = 0.1,
    clip: float = math.inf,
    round_number: int = 1,
    drop_last: bool = False,
) -> State:
    """Return the same by a loop that is written out."""
    model = toys.new_model()
    optimizer = torch.optim.SGD(model.parameters(), rate, 0.9, fused=True)
    shuffled = seeds.generator(3, "batches", round_number, 0).permutation(SETS[0])
    for batch in np.split(shuffled, range(16, len(shuffled), 16)):
        if drop_last and len(batch) < 16:
            continue
        inputs, labels = DATA.batch(batch)
        optimizer.zero_grad()
        loss_of(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        total = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(min(1.0, clip / (total.norm().item() + 1e-6)))
        optimizer.step()
    return model.state_dict()


def assert_alike(ours: State, theirs: State, tolerance: float = 0.0) -> None:
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=tolerance, atol=tolerance)


def sgd(**settings: Any) -> dict[str, Any]:
    return {"trainer": Choice(name="sgd", **settings)}


def test_without_settings_it_is_the_plain_loop() -> None:
    assert_alike(fitted(), by_hand())


def test_gradients_are_clipped_to_a_norm() -> None:
    assert_alike(fitted(**sgd(clip_norm=0.2)), by_hand(clip=0.2), 1e-6)
    assert_alike(fitted(**sgd(clip_norm=1e6)), by_hand())


def test_classes_are_weighted_and_labels_smoothed() -> None:
    weights = (0.5, 1.0, 2.0, 3.0)
    ours = fitted(**sgd(class_weights=weights, label_smoothing=0.2))

    def slow(outputs: Tensor, labels: Tensor) -> Tensor:
        each = torch.tensor(weights)
        log_p = outputs.log_softmax(1)
        sharp = -(each[labels] * log_p.gather(1, labels[:, None])[:, 0])
        flat = -(each * log_p).sum(1) / len(weights)
        return (0.8 * sharp + 0.2 * flat).sum() / each[labels].sum()

    assert_alike(ours, by_hand(slow), 1e-6)


def test_an_own_loss_takes_the_place_of_the_objectives() -> None:
    ours = fitted(**sgd(loss="trainers:brier"))
    assert_alike(ours, by_hand(lambda outputs, labels: trainers.brier(outputs, labels).mean()))


@pytest.mark.parametrize(
    ("round_number", "share"),
    [
        (1, 1 / 2),
        (2, 1.0),
        (3, 1.0),
        (4, (1 + math.cos(math.pi / 4)) / 2),
        (6, (1 + math.cos(3 * math.pi / 4)) / 2),
    ],
)
def test_the_rate_warms_up_and_falls_along_a_cosine(round_number: int, share: float) -> None:
    ours = fitted(round_number, **sgd(warmup=2, schedule="cosine"))
    assert_alike(ours, by_hand(rate=0.1 * share, round_number=round_number), 1e-6)


def test_an_unfilled_last_batch_is_left_out() -> None:
    assert len(SETS[0]) % 16 != 0
    assert_alike(fitted(drop_last=True), by_hand(drop_last=True))


def test_flips_and_crops_are_of_each_image_by_itself() -> None:
    images = torch.arange(64.0 * 3 * 6 * 6).reshape(64, 3, 6, 6) + 1
    draws = torch.Generator().manual_seed(5)
    flipped = augmented(images, ["flip"], draws)
    same = (flipped == images).all(dim=(1, 2, 3))
    assert ((flipped == images.flip(3)).all(dim=(1, 2, 3)) == ~same).all()
    assert 20 < int(same.sum()) < 44
    cropped = augmented(images, ["crop"], draws)
    for number, crop in enumerate(cropped):
        padded = functional.pad(images[number], [4] * 4)
        windows = padded.unfold(1, 6, 1).unfold(2, 6, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
        assert (windows == crop).all(dim=(1, 2, 3)).any()
    assert len({tuple(c.flatten().tolist()[:8]) for c in cropped - images}) > 20


def test_augmentation_is_of_training_only_and_of_images_only() -> None:
    with pytest.raises(MessageError, match=r"records? has shape \(12,\)"):
        fitted(**sgd(augmentation=("flip",)))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"class_weights": [1.0, 2.0]}, "class_weights has 2 weights for 4 classes"),
        ({"loss": "brier"}, "own as module:function"),
        ({"loss": "trainers:brier", "label_smoothing": 0.1}, "one or the other"),
        ({"clip_norm": 0.0}, "greater than 0"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"schedule": "linear"}, "'constant' or 'cosine'"),
        ({"augmentation": ["flip"]}, "a record has shape"),
    ],
)
def test_settings_that_cannot_be_are_told_before_round_1(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(FedsimError, match=told):
        toys.simulated(
            tmp_path, federation={"rounds": 4, "local": {"trainer": {"name": "sgd", **settings}}}
        )
    assert not list(tmp_path.rglob("*.safetensors"))


def test_weights_of_classes_are_of_classification() -> None:
    trainer = build_trainer(LocalTraining(**sgd(label_smoothing=0.1)))
    outputs = torch.zeros(2, 1)
    with pytest.raises(ConfigError, match="for objective classification, not for Regression"):
        trainer._loss(Regression(), torch.device("cpu"))(outputs, outputs)  # type: ignore[attr-defined]


def test_only_plain_sgd_of_classification_is_stacked() -> None:
    def why_not(objective: Any = None, **settings: Any) -> Any:
        local = LocalTraining(batch_size=8, **settings)
        members = Participants(
            DATA, SETS, toys.new_model, local, None, 3, objective or Classification()
        )
        return stack_training(members)

    assert not isinstance(why_not(), str)
    assert "settings of its own" in why_not(**sgd(clip_norm=1.0))
    assert "settings of its own" in why_not(trainer=Choice(name="trainers:Averaging"))
    assert "drop_last" in why_not(drop_last=True)
    assert "classification" in why_not(Regression())


OWN = {"rounds": 4, "local": {"batch_size": 10, "trainer": "trainers:Averaging"}}


def test_an_own_trainers_state_lives_through_rounds_and_a_stop(tmp_path: Path) -> None:
    whole = toys.simulated(tmp_path / "whole", federation=OWN)
    kept = Checkpoint.load(whole.checkpoint("honest"))
    state = TrainerState.of(None, next(iter(kept.states.values())).config_records[PLAIN_STATE])
    assert len(state.plain["losses"]) == 4
    for after in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            toys.simulated(tmp_path / str(after), watcher=toys.Stopping(after), federation=OWN)
        again = toys.simulated(tmp_path / str(after), federation=OWN)
        assert toys.content_of(again) == toys.content_of(whole)


def test_an_own_trainer_is_the_same_on_several_processes(tmp_path: Path) -> None:
    one = toys.content_of(toys.simulated(tmp_path / "one", federation=OWN))
    two = toys.simulated(tmp_path / "two", federation=OWN, engine={"workers": 2})
    several = toys.content_of(two)
    assert {name: several[name] for name in one if name != "experiment.yaml"} == {
        name: one[name] for name in one if name != "experiment.yaml"
    }


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    local = {"batch_size": 10, "trainer": "trainers:Unkeepable"}
    with pytest.raises(FedsimError, match="keeps plain values that JSON cannot hold"):
        toys.simulated(tmp_path, federation={"rounds": 4, "local": local})


def test_what_is_no_trainer_is_told() -> None:
    with pytest.raises(PluginError, match="must derive from fedsim"):
        build_trainer(LocalTraining(trainer=Choice(name="toys:new_model")))


@pytest.mark.parametrize("drop", [False, True])
def test_batch_normalisation_and_a_last_batch_of_one(tmp_path: Path, drop: bool) -> None:
    def run() -> None:
        toys.simulated(
            tmp_path,
            model="trainers:normalised",
            federation={"rounds": 4, "local": {"batch_size": 13, "drop_last": drop}},
        )

    if drop:  # 40 = 3 * 13 + 1
        run()
    else:
        with pytest.raises(ConfigError, match="drop_last to true, or another batch_size"):
            run()


def test_drop_last_leaves_something_of_everybody(tmp_path: Path) -> None:
    local = {"batch_size": 50, "drop_last": True}
    with pytest.raises(ConfigError, match="leaves nothing of a participant with 40 records"):
        toys.simulated(tmp_path, federation={"rounds": 4, "local": local})
