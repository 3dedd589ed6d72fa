"""How a record changes between what was sent and what came back is read beside its level."""

from dataclasses import replace

import numpy as np
import torch

from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.inputs import stack
from adversaries.inference.network import NetworkSettings
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.standardiser import Standardiser
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import seeds
from fedsim.evaluation.metrics import auc

CLASSES, HIDDEN, COUNT = 4, 5, 400
MEMBER = seeds.generator(0, "member").permutation(COUNT) < COUNT // 2


def features(seed: int, reaction: float = 0.0) -> SnapshotFeatures:
    """Return features that say nothing of membership but by `reaction` in one scalar."""
    random = np.random.default_rng(seed)
    widths = {"logits": CLASSES, "hidden": HIDDEN, "deltas": CLASSES, "scalars": 6}
    arrays = {n: random.normal(size=(COUNT, w)).astype(np.float32) for n, w in widths.items()}
    arrays["scalars"][:, 0] += np.float32(reaction) * MEMBER
    return SnapshotFeatures(
        records=np.arange(COUNT),
        labels=np.arange(COUNT) % CLASSES,
        losses=np.abs(random.normal(size=COUNT)).astype(np.float32),
        gradient_norms=np.exp(random.normal(size=(COUNT, 2))).astype(np.float32),
        layers=("a", "b"),
        **arrays,
    )


def test_the_difference_is_of_every_scalar_and_standardised_by_itself() -> None:
    first, before, after = features(1), features(2), features(3)
    inputs = stack([first, after], pairs=[(before, after)])
    assert inputs.reactions.shape == (1, COUNT, 6)  # norms are not extracted for what was sent
    np.testing.assert_array_equal(inputs.reactions[0], after.scalars - before.scalars)
    assert inputs.summary.shape == (COUNT, 2 * 8 + 6)
    standard = Standardiser.fit(inputs).apply(inputs).reactions
    torch.testing.assert_close(standard.mean(1), torch.zeros(1, 6), atol=1e-5, rtol=0)
    assert standard.abs().max() <= 5


def test_without_sent_snapshots_nothing_is_added() -> None:
    inputs = stack([features(1), features(2)])
    assert inputs.reactions.shape[:2] == (0, COUNT)
    network = NetworkSettings().build(inputs)
    assert network.logistic.in_features == 2 * 8


def test_a_reaction_is_found_that_no_single_level_shows() -> None:
    """The level is noise of deviation 30, and the same before and behind the training."""
    before = features(1)
    level = before.scalars.copy()
    level[:, 0] = np.random.default_rng(9).normal(size=COUNT) * 30
    before = replace(before, scalars=level)
    after = replace(before, scalars=level + features(2, reaction=8.0).scalars * 0.3)
    half = torch.arange(COUNT // 2)
    quick = SupervisedSettings(folds=2, epochs=25, batch_size=16)

    def found(*pairs: tuple[SnapshotFeatures, SnapshotFeatures]) -> float:
        inputs = stack([after], pairs=pairs)
        other = inputs.take(half + COUNT // 2)
        _, (scores,) = fit_and_score(inputs.take(half), MEMBER[: COUNT // 2], other, quick, [0])
        truth = MEMBER[COUNT // 2 :]
        return auc(scores[truth], scores[~truth])

    assert found((before, after)) > 0.9
    assert found() < 0.65


def test_vectors_are_read_from_the_last_snapshots_and_scalars_from_all() -> None:
    inputs = stack([features(n) for n in range(1, 6)])
    latest = inputs.latest(2)
    assert torch.equal(latest.scalars, inputs.scalars)
    assert torch.equal(latest.losses, inputs.losses[-2:])
    assert [len(values) for values in latest.outputs.values()] == [2]
    assert [of.size[0] for of in latest.gradients.values()] == [2]
    assert inputs.latest(None) is inputs
    assert inputs.latest(5) is inputs
    network = NetworkSettings(vector_snapshots=2).build(latest)
    assert network(latest).shape == (COUNT,)
