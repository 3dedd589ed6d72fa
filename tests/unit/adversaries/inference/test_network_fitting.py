"""Networks that are trained together are those that are trained alone, one after the other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adversaries.inference import memory
from adversaries.inference.crossfit import folds
from adversaries.inference.fold_stack import FoldStack, balanced_batches
from adversaries.inference.gradient_inputs import Matrices, RankOne, SummedOverPositions
from adversaries.inference.inputs import LAST_LAYER, Inputs
from adversaries.inference.network import NetworkSettings
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.paper_network import PaperNetworkSettings
from adversaries.inference.standardiser import Standardiser
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import seeds

KNOWN, OTHERS, SNAPSHOTS, CLASSES, HIDDEN = 61, 30, 3, 5, 7
MEMBER = seeds.generator(0, "member").permutation(KNOWN) < 28
QUICK = SupervisedSettings(folds=3, repeats=2, epochs=4, batch_size=16)
WITH_VECTORS = replace(
    QUICK, network=NetworkSettings(kernels=3, gradient_widths=(5, 4), vector_snapshots=2)
)


def inputs(records: int = KNOWN) -> Inputs:
    random = seeds.torch_generator(records, "inputs")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    return Inputs(
        scalars=normal(SNAPSHOTS, records, 8) * 3 + 1,
        losses=normal(SNAPSHOTS, records, 1),
        outputs={LAST_LAYER: normal(SNAPSHOTS, records, CLASSES)},
        labels=F.one_hot(torch.arange(records) % CLASSES).float()[None],
        gradients={
            LAST_LAYER: RankOne(
                normal(SNAPSHOTS, records, CLASSES), normal(SNAPSHOTS, records, HIDDEN)
            ),
            "matrix": Matrices(normal(SNAPSHOTS, records, 4, 6)),
            "positions": SummedOverPositions(
                normal(SNAPSHOTS, records, 4, 3), normal(SNAPSHOTS, records, 5, 3), None
            ),
        },
        reactions=normal(SNAPSHOTS - 1, records, 8),
    )


def one_by_one(settings: SupervisedSettings, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train each network alone, as anyone would write it: PyTorch's AdamW, global draws."""
    known, others = (inputs(n).latest(settings.network.vector_snapshots) for n in (KNOWN, OTHERS))
    held_out_scores, candidate_scores = np.zeros(KNOWN), np.zeros(OTHERS)
    for repeat in range(settings.repeats):
        kept, losses = [], []
        for number, (rest, held_out) in enumerate(folds(MEMBER, settings.folds, seed, repeat)):
            raw = known.take(torch.from_numpy(rest))
            standardiser = Standardiser.fit(raw)
            training = standardiser.apply(raw)
            aside = standardiser.apply(known.take(torch.from_numpy(held_out)))
            truth, aside_truth = (torch.from_numpy(MEMBER[s]).float() for s in (rest, held_out))
            with seeds.global_draws(seed, "attack network", repeat, number):
                network = settings.network.build(training)
                optimizer = torch.optim.AdamW(
                    [
                        {"params": network.encoder_parameters(), "lr": settings.learning_rate},
                        {
                            "params": network.component_parameters(),
                            "lr": settings.component_learning_rate,
                        },
                    ],
                    weight_decay=settings.weight_decay,
                )
                batches = len(list(_undrawn(truth, settings)))
                schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
                    optimizer, settings.epochs * batches
                )
                for _ in range(settings.epochs):
                    network.train()
                    for batch in balanced_batches(truth, settings.batch_size):
                        optimizer.zero_grad()
                        logits = network(training.take(batch))
                        F.binary_cross_entropy_with_logits(logits, truth[batch]).backward()
                        optimizer.step()
                        schedule.step()
                    network.eval()
                    with torch.no_grad():
                        said = network(aside)
                        loss = F.binary_cross_entropy_with_logits(said, aside_truth)
                        of_others = network(standardiser.apply(others))
                    kept.append((number, held_out, said.numpy(), of_others.numpy()))
                    losses.append(float(loss))
        epoch = int(np.reshape(losses, (settings.folds, -1)).mean(0).argmin())
        for number in range(settings.folds):
            _, held_out, said, of_others = kept[number * settings.epochs + epoch]
            held_out_scores[held_out] += said / settings.repeats
            candidate_scores += of_others / (settings.repeats * settings.folds)
    return held_out_scores, candidate_scores


def _undrawn(truth: Tensor, settings: SupervisedSettings) -> Sequence[Tensor]:
    with seeds.global_draws(0, "only their number"):
        return list(balanced_batches(truth, settings.batch_size))


@pytest.mark.parametrize(
    "settings",
    [
        QUICK,
        WITH_VECTORS,
        replace(WITH_VECTORS, network=replace(WITH_VECTORS.network, shared=True)),
        replace(
            QUICK,
            network=PaperNetworkSettings(kernels=4, gradient_widths=(8,), initial_deviation=0.3),
        ),
    ],
    ids=["default sizes", "vectors", "shared weights", "paper"],
)
def test_a_stack_gives_what_networks_trained_alone_give(settings: SupervisedSettings) -> None:
    """The same initial parameters, batches and dropout; 61 records make folds of unequal sizes."""
    held_out, others = fit_and_score(inputs(), MEMBER, inputs(OTHERS), settings, [3, 4])
    for place, seed in enumerate((3, 4)):
        for found, truth in zip((held_out, others), one_by_one(settings, seed), strict=True):
            np.testing.assert_allclose(found[place], truth, rtol=2e-3, atol=2e-4)
            assert np.ptp(truth) > 0.05  # they say something of each record


def test_networks_in_a_stack_do_not_touch_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether one stands with four others or alone, its scores differ by rounding only."""
    together = fit_and_score(inputs(), MEMBER, inputs(OTHERS), WITH_VECTORS, [3, 4])
    monkeypatch.setattr(memory, "MOST_BYTES", 1)
    assert memory.stack_size(WITH_VECTORS.network.build, inputs()) == 1
    alone = fit_and_score(inputs(), MEMBER, inputs(OTHERS), WITH_VECTORS, [3, 4])
    for found, truth in zip(together, alone, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-4)


def test_rerun_gives_the_same_bits() -> None:
    first, again = (
        fit_and_score(inputs(), MEMBER, inputs(OTHERS), WITH_VECTORS, [3, 4]) for _ in range(2)
    )
    for found, truth in zip(first, again, strict=True):
        np.testing.assert_array_equal(found, truth)


def test_how_many_stand_together_follows_from_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    given, build = inputs(), QUICK.network.build
    bytes_read = 4 * sum(part.numel() for part in given.parts)
    weights = sum(p.numel() for p in build(given).parameters())
    # A weight, its gradient, two moments, and the weight after the best epoch so far.
    for most, size in ((4 * bytes_read, min(4, bytes_read // (5 * weights))), (0, 1)):
        monkeypatch.setattr(memory, "MOST_BYTES", most)
        assert memory.stack_size(build, given) == size


def test_training_ends_when_no_later_epoch_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same scores whether it ends or goes on; a stack of one goes on."""
    trained: list[int] = []
    train_epoch = FoldStack.train_epoch

    def counted(stack: FoldStack) -> object:
        trained.append(len(stack.folds))
        return train_epoch(stack)

    monkeypatch.setattr(FoldStack, "train_epoch", counted)
    settings = replace(QUICK, epochs=30, patience=2, repeats=1, learning_rate=0.05)
    reported: list[int] = []
    asked = inputs(), MEMBER, inputs(OTHERS), settings, [3], reported.append
    ended = fit_and_score(*asked)
    assert sum(trained) < 60
    assert reported == list(range(1, 91))
    trained.clear()
    monkeypatch.setattr(memory, "MOST_BYTES", 1)
    for found, truth in zip(ended, fit_and_score(*asked), strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-4)
    assert trained == [1] * 90
