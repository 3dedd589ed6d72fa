"""The unsupervised attack: it finds a planted leak, none where there is none, and asks nobody."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from server_views import view_of_two_uploads

from adversaries.inference.autoencoder import (
    UnsupervisedSettings,
    known_signals,
    score_unlabelled,
)
from adversaries.inference.features import SCALARS, SnapshotFeatures
from adversaries.inference.inputs import stack
from adversaries.inference.network import EncoderSettings
from adversaries.inference.spectral_clustering import spectral_coordinate
from adversaries.inference.unsupervised import Unsupervised
from fedsim import plugins
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.errors import ConfigError, PluginError, SnapshotError
from fedsim.evaluation.metrics import auc
from fedsim.progress import SILENCE

CLASSES, HIDDEN, LAYERS = 5, 8, 3
QUICK = UnsupervisedSettings(epochs=4)


def planted(member: np.ndarray, leak: float, snapshots: int = 3) -> list[SnapshotFeatures]:
    """Return features of a model that is `leak` logits surer of its members."""
    random = np.random.default_rng(7)
    count = len(member)
    labels = random.integers(CLASSES, size=count)
    rows = np.arange(count)
    found = []
    for _ in range(snapshots):
        logits = random.normal(size=(count, CLASSES))
        logits[rows, labels] += 1 + leak * member
        hidden = np.abs(random.normal(size=(count, HIDDEN)))
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        p = shifted / shifted.sum(1, keepdims=True)
        deltas = p - np.eye(CLASSES)[labels]
        losses = -np.log(p[rows, labels])
        last = np.linalg.norm(deltas, axis=1) * np.linalg.norm(hidden, axis=1)
        norms = last[:, None] * np.exp(0.2 * random.normal(size=(count, LAYERS)))
        scalars = random.normal(size=(count, len(SCALARS)))
        scalars[:, 0], scalars[:, 3] = -losses, np.log(last)
        arrays = (losses, logits, hidden, deltas, scalars, norms)
        found.append(
            SnapshotFeatures(rows, labels, *(values.astype(np.float32) for values in arrays))
        )
    return found


def scored(features: list[SnapshotFeatures], *given: object, **named: object) -> np.ndarray:
    """Return scores of the features of all records."""
    return score_unlabelled(stack(features), known_signals(features), *given, **named)  # type: ignore[arg-type]


def half(count: int) -> np.ndarray:
    """Return a balanced membership that is not sorted."""
    return np.random.default_rng(1).permutation(count) < count // 2


def test_a_planted_leak_is_found_without_any_label() -> None:
    member = half(1200)
    scores = scored(planted(member, leak=6.0), QUICK, seed=0)
    assert auc(scores[member], scores[~member]) > 0.99
    assert np.mean((scores > 0) == member) > 0.97  # nought is where the clusters meet


def test_members_are_the_cluster_of_lower_gradient_norm_whatever_the_seed() -> None:
    member = half(400)
    features = planted(member, leak=6.0)
    for seed in range(4):  # the embedding's own direction is a matter of chance
        scores = scored(features, QUICK, seed)
        assert scores[member].mean() > 0.5
        assert scores[~member].mean() < -0.5


def test_later_snapshots_weigh_more() -> None:
    early, late = half(600), np.random.default_rng(9).permutation(half(600))
    features = [planted(truth, leak=6.0, snapshots=1)[0] for truth in (early, late)]
    scores = scored(features, UnsupervisedSettings(epochs=20), seed=0)
    assert auc(scores[late], scores[~late]) > 0.9
    assert auc(scores[early], scores[~early]) < 0.7


def test_without_a_leak_the_scores_say_nothing() -> None:
    member = half(1200)
    scores = scored(planted(member, leak=0.0), QUICK, seed=0)
    deviation = np.sqrt((len(member) + 1) / (12 * 600 * 600))  # of the AUC of random scores
    assert abs(auc(scores[member], scores[~member]) - 0.5) < 1.96 * deviation


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not() -> None:
    features = planted(half(300), leak=2.0)
    first, again, other = (scored(features, QUICK, seed) for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


def test_records_that_nothing_tells_apart_all_score_nought() -> None:
    one = planted(half(2), leak=1.0)
    same = [features.take(np.zeros(331, dtype=np.intp)) for features in one]
    np.testing.assert_array_equal(scored(same, QUICK, seed=0), np.zeros(331))


def test_the_signals_are_those_of_their_definitions() -> None:
    (features,) = planted(half(50), leak=1.0, snapshots=1)
    loss, right, entropy, norm = known_signals([features])[0].numpy().T
    p = np.exp(features.logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(loss), features.losses, rtol=1e-5)
    np.testing.assert_array_equal(right, p.argmax(1) == features.labels)
    np.testing.assert_allclose(np.exp(entropy), -(p * np.log(p)).sum(1) / np.log(CLASSES))
    total = np.sqrt((features.gradient_norms.astype(np.float64) ** 2).sum(1))
    np.testing.assert_allclose(np.exp(norm), total)


def test_the_spectral_coordinate_parts_two_clouds_where_they_part() -> None:
    random = np.random.default_rng(2)
    points = np.concatenate([random.normal(-2, 0.4, 700), random.normal(2, 0.4, 300)])
    coordinate = spectral_coordinate(points, 200, 0.3, np.random.default_rng(0))
    low, high = coordinate[:700], coordinate[700:]
    gap = max(low.min() - high.max(), high.min() - low.max())
    assert gap > 5 * max(low.std(), high.std())


def test_the_extension_from_landmarks_agrees_with_the_full_eigenproblem() -> None:
    points = np.random.default_rng(3).normal(size=1500)
    full, few = (
        spectral_coordinate(points, landmarks, 0.5, np.random.default_rng(0))
        for landmarks in (1500, 300)
    )
    assert abs(np.corrcoef(full, few)[0, 1]) > 0.99


def test_many_records_need_no_matrix_of_all_pairs() -> None:
    points = np.random.default_rng(4).normal(size=60_000)  # all pairs: 28.8 GB
    tracemalloc.start()
    coordinate = spectral_coordinate(points, 250, 0.5, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert coordinate.shape == points.shape
    assert peak < 50e6


def test_more_than_ten_thousand_records_are_scored() -> None:
    member = half(12_000)
    settings = UnsupervisedSettings(epochs=1, batch_size=256)
    scores = scored(planted(member, leak=6.0, snapshots=1), settings, seed=0)
    assert auc(scores[member], scores[~member]) > 0.95


def test_progress_counts_the_epochs() -> None:
    told: list[int] = []
    scored(planted(half(60), leak=1.0), QUICK, 0, told.append)
    assert told == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is at least 1, not 0"),
        ({"landmarks": 1}, "landmarks is at least 2, not 1"),
        ({"kernel_width": 0.0}, "kernel_width is positive, not 0"),
        ({"learning_rate": float("nan")}, "learning_rate is positive, not nan"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UnsupervisedSettings(**settings)  # type: ignore[arg-type]


def test_no_snapshot_is_an_error() -> None:
    with pytest.raises(SnapshotError, match="at least one snapshot"):
        scored([], QUICK, seed=0)


RECORDS = np.arange(5, 45)


@pytest.fixture
def observation(tmp_path: Path) -> View:
    """Return an observation of two snapshots."""
    return view_of_two_uploads(tmp_path, RECORDS)


def test_what_is_known_changes_nothing(observation: View) -> None:
    truth = np.arange(20) % 2 == 0
    attack = Unsupervised(QUICK)
    scores = [
        attack.score(observation, AuxiliaryRecords(RECORDS[:20], member), RECORDS, 0, SILENCE)
        for member in (truth, ~truth, np.random.default_rng(0).permutation(truth))
    ]
    scores.append(
        attack.score(observation, AuxiliaryRecords(RECORDS[:0], truth[:0]), RECORDS, 0, SILENCE)
    )
    assert len({row.tobytes() for row in scores}) == 1
    assert scores[0].shape == RECORDS.shape
    assert np.isfinite(scores[0]).all()


def test_the_plugin_is_no_baseline_and_has_seeds() -> None:
    assert Unsupervised.stochastic
    assert not Unsupervised.baseline


def test_its_encoder_has_no_setting_that_it_would_not_heed() -> None:
    told = r"unknown setting 'training.network.vector_snapshots'; valid: .*, kernels, .*, shared"
    with pytest.raises(PluginError, match=told):
        plugins.build("attacks", "unsupervised", {"training": {"network": {"vector_snapshots": 4}}})
    sizes = {"kernels": 3, "shared": True}
    built = plugins.build("attacks", "unsupervised", {"training": {"network": sizes}})
    assert built.training.network == EncoderSettings(kernels=3, shared=True)
